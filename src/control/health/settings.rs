//! The health settings of a group in the supervisor's form. Tested with it.

use std::sync::Arc;
use std::time::Duration;

use super::check::{Ask, HttpAsk, Kind};
use super::ejection::Limits;
use super::grpc::GrpcAsk;
use super::machine::Thresholds;
use crate::control::config::file::{self, HealthCheckType};
use crate::control::config::grpc::codes;
use crate::control::config::status_range;
use crate::routing::actions::normal_path;

/// The settings of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// `None` = its targets are not checked.
    pub checks: Option<Checks>,
    pub ejection: Limits,
    pub slow_start: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checks {
    pub ask: Arc<Ask>,
    pub interval: Duration,
    pub thresholds: Thresholds,
    /// `None` = in clear.
    pub tls: Option<file::TargetTls>,
}

impl Settings {
    pub(super) fn of(group: &file::TargetGroup) -> Settings {
        let ejection = &group.ejection;
        Settings {
            checks: checks(group),
            ejection: Limits {
                errors: ejection.errors,
                time: ejection.time,
                time_max: ejection.time_max,
                percent_max: ejection.percent_max,
            },
            slow_start: group.slow_start,
        }
    }
}

fn checks(group: &file::TargetGroup) -> Option<Checks> {
    let check = &group.health_check;
    let path = normal_path(&check.path).map_or_else(|_| check.path.clone(), String::from);
    let kind = match check.kind {
        HealthCheckType::Off => return None,
        HealthCheckType::Tcp => Kind::Tcp,
        HealthCheckType::Http => Kind::Http(HttpAsk {
            method: check.method.clone(),
            path,
            host: check.host.clone(),
            expect: check.expect.iter().filter_map(|text| status_range(text).ok()).collect(),
            body: check.body.clone(),
            head_bytes: group.limits.response_head_bytes,
        }),
        HealthCheckType::Grpc => Kind::Grpc(GrpcAsk {
            // The path of every method has two parts, so that "/" asks for none.
            method: (path != "/").then_some(path),
            service: check.grpc_service.clone(),
            host: check.host.clone(),
            codes: check.grpc_codes.iter().filter_map(|text| codes(text).ok()).collect(),
            head_bytes: group.limits.response_head_bytes,
        }),
    };
    Some(Checks {
        ask: Arc::new(Ask {
            kind,
            timeout: check.timeout,
            port: check.port,
            header: group.send_proxy_protocol.version(),
            is_http2: group.protocol_version.is_http2(),
        }),
        interval: check.interval,
        thresholds: Thresholds { rise: check.rise, fall: check.fall },
        tls: group.tls().cloned(),
    })
}
