//! What a visitor may change: everything, or attributes of groups and targets.
//!
//! Every user of the machine can reach an address without a token. Such a user must not gain limpet's own powers
//! through it (to write files as its user, to listen anywhere, to send clients anywhere); shares, drains and stickiness
//! are allowed. Everything not named here needs the Unix socket, a token, or a client certificate with that role. Pure; tested below and by `tests/admin`.

use axum::http::Method;

use super::problem::{Cause, Problem};
use crate::control::change::Edit;
use crate::control::config::file::RoleName;

/// What a request may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Everything,
    Attributes,
}

/// Requests that change attributes, and questions that are asked by POST.
const ATTRIBUTES: [(Method, &str); 10] = [
    (Method::PATCH, "/v1/groups/{group}"),
    (Method::PATCH, "/v1/groups/{group}/stickiness"),
    (Method::POST, "/v1/groups/{group}/stickiness/flush"),
    (Method::PATCH, "/v1/groups/{group}/targets/{target}"),
    (Method::POST, "/v1/groups/{group}/targets/{target}/drain"),
    (Method::POST, "/v1/groups/{group}/targets/{target}/enable"),
    (Method::POST, "/v1/groups/{group}/targets/{target}/disable"),
    // The undo of an edit that the visitor could have made.
    (Method::POST, "/v1/config/undo"),
    (Method::POST, "/v1/config/diff"),
    (Method::POST, "/v1/explain"),
];

/// Settings of a group that decide what limpet itself sends to a port, and those that define its targets.
const GROUP_KEPT: [&str; 12] = [
    "name",
    "protocol",
    "protocol_version",
    "send_proxy_protocol",
    "tls",
    "target",
    "health_check.path",
    "health_check.method",
    "health_check.host",
    "health_check.port",
    "health_check.body",
    "health_check.grpc_service",
];
/// Settings of a target that decide where clients are sent.
const TARGET_KEPT: [&str; 2] = ["id", "address"];

impl From<RoleName> for Scope {
    fn from(role: RoleName) -> Scope {
        match role {
            RoleName::Everything => Scope::Everything,
            RoleName::Attributes => Scope::Attributes,
        }
    }
}

impl Scope {
    /// The API's word.
    pub fn word(self) -> &'static str {
        match self {
            Scope::Everything => "everything",
            Scope::Attributes => "attributes",
        }
    }

    /// Whether a request may be made at all; `path` in the router's form.
    ///
    /// # Errors
    /// [`Cause::NotTrusted`].
    pub fn judge(self, method: &Method, path: &str) -> Result<(), Problem> {
        let reads = [Method::GET, Method::HEAD].contains(method);
        let is_attribute = ATTRIBUTES.iter().any(|(of, one)| of == method && *one == path);
        match self {
            Scope::Attributes if !reads && !is_attribute => Err(refusal("this request")),
            Scope::Everything | Scope::Attributes => Ok(()),
        }
    }

    /// Whether an edit may be made.
    ///
    /// # Errors
    /// [`Cause::NotTrusted`], naming the setting that is out of reach.
    pub fn judge_edit(self, edit: &Edit) -> Result<(), Problem> {
        if self == Scope::Everything {
            return Ok(());
        }
        let (set, kept) = match edit {
            Edit::SetGroup { set, .. } => (set, &GROUP_KEPT[..]),
            Edit::SetTarget { set, .. } => (set, &TARGET_KEPT[..]),
            Edit::FlushStickiness { .. } => return Ok(()),
            Edit::AddTarget { .. } => return Err(refusal("adding a target")),
            Edit::RemoveTarget { .. } => return Err(refusal("removing a target")),
        };
        let touched =
            |key: &&String| kept.iter().any(|kept| is_within(key, kept) || is_within(kept, key));
        match set.keys().find(touched) {
            Some(key) => Err(refusal(&format!("setting {key:?}"))),
            None => Ok(()),
        }
    }

    /// Whether a change may be undone; `inverse` is the edit that undoes it, `None` where that is a whole
    /// configuration.
    ///
    /// # Errors
    /// [`Cause::NotTrusted`].
    pub fn judge_undo(self, inverse: Option<&Edit>) -> Result<(), Problem> {
        match (self, inverse) {
            (Scope::Everything, _) => Ok(()),
            (Scope::Attributes, Some(edit)) => self.judge_edit(edit),
            (Scope::Attributes, None) => Err(refusal("taking back a whole configuration")),
        }
    }
}

/// Whether a dotted key is `table` or stands below it.
fn is_within(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn refusal(what: &str) -> Problem {
    let detail = format!(
        "{what} needs the Unix socket (admin.socket), a token (admin.token) or a client certificate with the role \
         \"everything\" (admin.tls.role): this visitor changes attributes of groups and targets only"
    );
    Problem::new(Cause::NotTrusted, detail)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use crate::control::admin::scope::*;

    fn map(set: Value) -> Map<String, Value> {
        set.as_object().cloned().unwrap_or_default()
    }

    fn group(set: Value) -> Edit {
        Edit::SetGroup { group: "app".into(), set: map(set) }
    }

    fn target(set: Value) -> Edit {
        Edit::SetTarget { group: "app".into(), target: "a".into(), set: map(set) }
    }

    #[test]
    fn attributes_are_open_and_what_leads_elsewhere_is_not() {
        for edit in [
            group(json!({"stickiness.enabled": true, "slow_start": "9s", "algorithm": null})),
            group(json!({"stickiness": {"enabled": true}, "health_check.interval": "9s"})),
            group(json!({"health_checked": 1})),
            target(json!({"weight": 0, "state": "draining"})),
            Edit::FlushStickiness { group: "app".into() },
        ] {
            assert_eq!(Scope::Attributes.judge_edit(&edit), Ok(()), "{edit:?}");
        }
        for edit in [
            target(json!({"address": "unix:/run/docker.sock"})),
            target(json!({"weight": 1, "address": "10.0.0.1:80"})),
            target(json!({"id": "b"})),
            group(json!({"target": []})),
            group(json!({"name": "b"})),
            group(json!({"health_check.port": 22})),
            group(json!({"health_check.port.x": 22})),
            group(json!({"health_check": {"port": 22}})),
            group(json!({"health_check": null})),
            Edit::AddTarget { group: "app".into(), settings: map(json!({"address": "[::1]:22"})) },
            Edit::RemoveTarget { group: "app".into(), target: "a".into() },
        ] {
            let refused = Scope::Attributes.judge_edit(&edit).unwrap_err();
            assert_eq!(refused.cause, Cause::NotTrusted, "{edit:?}");
            assert_eq!(Scope::Everything.judge_edit(&edit), Ok(()));
            assert!(Scope::Attributes.judge_undo(Some(&edit)).is_err());
        }
        assert!(Scope::Attributes.judge_undo(None).is_err());
    }

    /// Tables and settings that decide about no address and no file. A new setting must be added here, or be refused.
    #[test]
    fn every_setting_of_groups_and_targets_is_decided() {
        const OPEN: &str = "algorithm hash_on connection_limit queue queue_timeout on_full upgrades slow_start \
            deregistration_delay fail_open ejection timeouts limits pool retries stickiness health_check \
            health_check.type health_check.expect health_check.grpc_codes health_check.interval health_check.timeout \
            health_check.rise health_check.fall target.weight target.state";
        let open: Vec<&str> = OPEN.split_whitespace().collect();
        for listed in crate::control::config::schema::listing() {
            let Some(own) = listed.path.strip_prefix("target_group.") else { continue };
            let table = own.split('.').next().unwrap_or(own);
            let (edit, name) = match own.strip_prefix("target.") {
                Some(inner) => (target(json!({inner: "x"})), own),
                None if table == "health_check" => (group(json!({own: "x"})), own),
                None => (group(json!({own: "x"})), table),
            };
            let whole = own == "health_check";
            let is_allowed = whole || Scope::Attributes.judge_edit(&edit).is_ok();
            assert_eq!(is_allowed, open.contains(&name), "{own}");
        }
    }

    #[test]
    fn a_path_that_nobody_has_thought_of_is_closed() {
        assert!(Scope::Attributes.judge(&Method::POST, "/v1/new").is_err());
        assert!(Scope::Attributes.judge(&Method::DELETE, "/v1/groups/{group}").is_err());
        assert!(Scope::Attributes.judge(&Method::GET, "/v1/new").is_ok());
        assert!(Scope::Everything.judge(&Method::POST, "/v1/new").is_ok());
    }

    #[test]
    fn every_open_path_is_one_that_is_served() {
        let served = super::super::path_names();
        for (_, path) in ATTRIBUTES {
            assert!(served.contains(&path), "{path}");
        }
    }
}
