//! The rules for settings of gRPC: single texts, and what only targets of HTTP/2 can be asked. Tested by
//! `tests/config.rs`, the texts below.

use std::ops::RangeInclusive;

use super::file::{File, Forward, HealthCheckType, Listener, ProtocolVersion, TargetGroup};
use super::notes::forwards;
use super::problems::Report;
use super::schema::Check;
use crate::http::grpc::{STATUSES, status, status_of};

const SERVICE_BYTES_MAX: usize = 256;
/// Begins the words of `retries.on` that are statuses of gRPC.
const PREFIX: &str = "grpc:";
/// The largest status that a check may expect, as ALB has it.
const CODE_MAX: u32 = 99;

pub(super) static SERVICE: Check = Check::new(
    "the name of a service of up to 256 visible ASCII characters, or \"\" = the server as a whole",
    |text| match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true if text.len() <= SERVICE_BYTES_MAX => Ok(()),
        true => Err("is too long".into()),
        false => Err("has a character that is not allowed".into()),
    },
);

pub(super) static CODES: Check =
    Check::new("a status of gRPC or a range of them, such as \"12\" or \"0-99\"", |text| {
        codes(text).map(drop)
    });

pub(super) static RETRIED: Check =
    Check::new("\"grpc:STATUS\", such as \"grpc:unavailable\"", |text| {
        retried_status(text).map(drop)
    });

/// "12" or "0-99", both ends included.
pub fn codes(text: &str) -> Result<RangeInclusive<u32>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|code| digits && *code <= CODE_MAX)
    };
    match (code(first), code(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        (Some(_), Some(_)) => Err("ends before it begins".into()),
        _ => Err("is no number from 0 to 99".into()),
    }
}

/// The status in "grpc:unavailable".
pub fn retried_status(text: &str) -> Result<u32, String> {
    let word = text.strip_prefix(PREFIX).ok_or_else(|| match text.split_once(':') {
        Some((kind, _)) => {
            format!("begins with {kind:?}, and nothing but statuses of gRPC is retried")
        }
        None => "does not begin with \"grpc:\"".to_owned(),
    })?;
    match status_of(word) {
        Some(status::OK) => Err("is a success".into()),
        Some(status) => Ok(status),
        None => Err(format!(
            "is no status of gRPC, which are {}",
            STATUSES.get(1..).unwrap_or_default().join(", ")
        )),
    }
}

/// Reports what is asked of targets that do not speak HTTP/2.
pub(super) fn validate(group: &TargetGroup, key: &str, report: &mut Report<'_>) {
    let version = format!("{key}.protocol_version");
    if group.protocol_version.is_http2() || !report.sound(&version) {
        return;
    }
    let allowed = "protocol_version = \"grpc\" or \"http2\" in the group";
    let kind = format!("{key}.health_check.type");
    if group.health_check.kind == HealthCheckType::Grpc && report.sound(&kind) {
        let what = "asks by gRPC, which the group's targets are not spoken to in";
        report.at(&kind, what, Some(allowed.into()));
    }
    let on = format!("{key}.retries.on");
    if !group.retries.on.is_empty() && report.sound(&on) {
        report.at(
            &on,
            "names statuses of gRPC, which no response of HTTP/1.1 has",
            Some(allowed.into()),
        );
    }
}

/// Settings of gRPC that do nothing as they stand.
pub(super) fn notes(file: &File) -> impl Iterator<Item = String> {
    without_http2(file).chain(without_retries(file))
}

/// Groups that name what is retried, and retry nothing.
fn without_retries(file: &File) -> impl Iterator<Item = String> {
    let names = |group: &&TargetGroup| group.retries.count == 0 && !group.retries.on.is_empty();
    file.target_groups.iter().filter(names).map(|group| {
        format!("retries.on of target group {:?} has no effect: retries.count is 0", group.name)
    })
}

/// Listeners that forward to a group of gRPC and take no HTTP/2, in which alone calls come.
fn without_http2(file: &File) -> impl Iterator<Item = String> {
    let is_of_calls = |name: &str| {
        let group = file.target_groups.iter().find(|group| group.name == name);
        group.is_some_and(|group| group.protocol_version == ProtocolVersion::Grpc)
    };
    let listeners = file.listeners.iter().filter(|listener| !takes_http2(listener));
    listeners.filter_map(move |listener| {
        let group = forwards(listener).flat_map(groups).find(|group| is_of_calls(group))?;
        Some(format!(
            "listener {:?} forwards to target group {group:?} of gRPC and takes no HTTP/2: it answers 505 to all that is \
             for the group; set http2 = true, or tls.alpn = [\"h2\", \"http/1.1\"]",
            listener.name
        ))
    })
}

fn takes_http2(listener: &Listener) -> bool {
    let offers = |alpn: &[String]| alpn.iter().any(|protocol| protocol == "h2");
    listener.http2
        || listener.tls.as_ref().is_some_and(|tls| {
            let mut of_profiles = tls.profiles.iter().filter_map(|profile| profile.alpn.as_ref());
            offers(&tls.alpn) || of_profiles.any(|alpn| offers(alpn))
        })
}

fn groups(forward: &Forward) -> impl Iterator<Item = &str> {
    let (one, several) = match forward {
        Forward::One(name) => (Some(name.as_str()), None),
        Forward::Weighted(weighted) => (None, Some(&weighted.groups)),
    };
    let several = several.into_iter().flatten().map(|one| one.group.as_str());
    one.into_iter().chain(several)
}

#[cfg(test)]
mod tests {
    use crate::control::config::grpc::*;
    use crate::control::config::{amiss, parse};

    #[test]
    fn codes_are_single_ones_or_ranges() {
        assert_eq!((codes("0"), codes("0-99")), (Ok(0..=0), Ok(0..=99)));
        assert_eq!(codes("12-5"), Err("ends before it begins".into()));
        for text in ["", "-", "100", "1-", "-1", "+1", "0,1", "unavailable", "1-100"] {
            assert!(codes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_status_but_ok_may_be_retried() {
        for (at, word) in STATUSES.iter().enumerate() {
            let status = retried_status(&format!("grpc:{word}"));
            assert_eq!(status.ok(), u32::try_from(at).ok().filter(|at| *at > 0), "{word}");
        }
        for text in
            ["", "unavailable", "grpc:", "grpc:UNAVAILABLE", "grpc:14", "http:503", "grpc:ok"]
        {
            assert!(retried_status(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_listener_without_http2_before_a_group_of_calls_is_named() {
        let said = |listener: &str, version: &str, forward: &str| {
            let text = format!(
                "listener = [{{ name = \"w\", address = \"127.0.0.1:0\", {listener} forward = {forward} }}]\n\
                 target_group = [{{ name = \"a\", target = [{{ address = \"127.0.0.1:1\" }}] }},\n\
                 {{ name = \"calls\", protocol_version = {version:?}, target = [{{ address = \"127.0.0.1:1\" }}] }}]"
            );
            let notes = amiss(&parse(&text, "x").unwrap());
            notes.into_iter().filter(|note| note.contains("gRPC")).collect::<Vec<_>>()
        };
        let weighted = "{ groups = [{ group = \"a\" }, { group = \"calls\" }] }";
        for forward in ["\"calls\"", weighted] {
            let notes = said("", "grpc", forward);
            assert_eq!(notes.len(), 1, "{notes:?}");
            assert!(notes[0].contains("listener \"w\" forwards to target group \"calls\""));
            assert!(said("http2 = true,", "grpc", forward).is_empty());
            assert!(said("", "http2", forward).is_empty(), "HTTP/1.1 may be spoken to these");
        }
        assert!(said("", "grpc", "\"a\"").is_empty());
    }

    #[test]
    fn statuses_that_no_retry_is_left_for_are_named() {
        let said = |retries: &str| {
            let text = format!(
                "listener = [{{ name = \"w\", address = \"127.0.0.1:0\", http2 = true, forward = \"a\" }}]\n\
                 target_group = [{{ name = \"a\", protocol_version = \"grpc\", retries = {{ {retries} }},\n\
                 target = [{{ address = \"127.0.0.1:1\" }}] }}]"
            );
            amiss(&parse(&text, "x").unwrap())
        };
        let note = "retries.on of target group \"a\" has no effect: retries.count is 0";
        assert_eq!(said("on = [\"grpc:unavailable\"], count = 0"), [note]);
        assert!(said("on = [\"grpc:unavailable\"]").is_empty() && said("count = 0").is_empty());
    }

    #[test]
    fn a_service_is_one_word() {
        assert!((SERVICE.test)("").is_ok() && (SERVICE.test)("shop.v1.Cart").is_ok());
        assert!((SERVICE.test)("shop cart").is_err() && (SERVICE.test)(&"x".repeat(257)).is_err());
    }
}
