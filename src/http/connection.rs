//! Connection options, RFC 9110 §7.6.1: what they tell about the connection, and which fields they remove from the
//! message. They never remove a field that limpet sets or relies on.

use super::fields::{FieldId, Fields, classify_folded, eq_ignore_case, members};
use super::head::Version;

/// Most options that are considered: each costs a walk over the fields.
const OPTIONS_MAX: usize = 32;

/// The options that limpet acts on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
}

impl Options {
    /// RFC 9112 §9.3.
    pub fn persistent(self, version: Version) -> bool {
        match version {
            Version::Http11 | Version::Http2 | Version::Http3 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }
}

/// Reads every Connection field and marks the fields that it names; `None` when there are too many options.
pub fn apply(fields: &mut Fields<'_>) -> Option<Options> {
    let mut options = Options::default();
    let mut count = 0_usize;
    for at in 0..fields.len() {
        let Some(value) =
            fields.get(at).filter(|field| field.id == FieldId::Connection).map(|field| field.value)
        else {
            continue;
        };
        for option in members(value) {
            count = count.saturating_add(1);
            if count > OPTIONS_MAX {
                return None;
            }
            if eq_ignore_case(option, b"close") {
                options.close = true;
            } else if eq_ignore_case(option, b"keep-alive") {
                options.keep_alive = true;
            } else if eq_ignore_case(option, b"upgrade") {
                options.upgrade = true;
            } else if may_name(option) {
                fields
                    .iter_mut()
                    .filter(|field| eq_ignore_case(field.name, option))
                    .for_each(|field| field.drop = true);
            }
        }
    }
    Some(options)
}

/// Whether an option may remove the field of its name: only a field that limpet does not use, and that neither frames,
/// routes, authenticates nor traces the request (4-http).
fn may_name(option: &[u8]) -> bool {
    const KEPT: &[&[u8]] = &[
        b"x-real-ip",
        b"x-request-id",
        b"request-id",
        b"x-correlation-id",
        b"correlation-id",
        b"x-amzn-trace-id",
        b"x-trace-id",
        b"tracestate",
        b"proxy-authorization",
        b"content-type",
        b"content-encoding",
        b"origin",
    ];
    let is_forwarding = option.len() >= 12
        && option.get(..12).is_some_and(|prefix| eq_ignore_case(prefix, b"x-forwarded-"));
    classify_folded(option).0 == FieldId::Other
        && !is_forwarding
        && !KEPT.iter().any(|name| eq_ignore_case(option, name))
}
