//! The fields of `app_header` against those that limpet itself writes. Tested by `tests/config.rs`.

use super::file::{self, File, Forward, StickinessType};
use super::problems::Report;

/// A field in which a listener writes ids of requests has no room for ids of sessions: those of a group, which any
/// listener may forward to, and those of the listener's own rules.
pub(super) fn validate(file: &File, report: &mut Report<'_>) {
    for (index, group) in file.target_groups.iter().enumerate() {
        let stickiness = &group.stickiness;
        if stickiness.kind == StickinessType::AppHeader {
            let key = format!("target_group[{index}].stickiness.app_header");
            session_field(&key, stickiness.app_header.as_deref(), &file.listeners, report);
        }
    }
    for (at, listener) in file.listeners.iter().enumerate() {
        let rules = listener.rules.iter().enumerate();
        let rules = rules.map(|(index, rule)| (rule.forward.as_ref(), format!(".rule[{index}]")));
        for (forward, key) in rules.chain([(listener.forward.as_ref(), String::new())]) {
            let Some(Forward::Weighted(weighted)) = forward else { continue };
            let sticky = weighted.sticky.as_ref();
            if let Some(sticky) = sticky.filter(|one| one.kind == StickinessType::AppHeader) {
                let key = format!("listener[{at}]{key}.forward.sticky.app_header");
                let own = std::slice::from_ref(listener);
                session_field(&key, sticky.app_header.as_deref(), own, report);
            }
        }
    }
}

fn session_field(
    key: &str,
    field: Option<&str>,
    listeners: &[file::Listener],
    report: &mut Report<'_>,
) {
    let Some(field) = field else { return };
    let is_taken = |one: &&file::Listener| one.forwarded.request_id.eq_ignore_ascii_case(field);
    if let Some(listener) = listeners.iter().find(is_taken) {
        let what = format!(
            "is the field in which listener {:?} tells targets the id of a request (forwarded.request_id)",
            listener.name
        );
        report.at(key, what, Some("a field of its own".into()));
    }
}
