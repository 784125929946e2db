//! The facts of a head's field lines that its judgement needs, gathered line by line.
//!
//! Classifies, marks hop-by-hop fields and look-alikes, enforces the limits on a line and on their number. Never
//! judges: see [`super::judge`]. Tested with the parser of HTTP/1.

use super::content_length::LengthField;
use super::fields::{Field, FieldId, Fields, classify_folded, eq_ignore_case, members};
use super::head::HeadLimits;
use super::refusal::LineFault;

/// The facts of the lines so far.
#[derive(Debug, Default)]
pub struct Notes<'b> {
    pub host: Option<&'b [u8]>,
    pub host_repeated: bool,
    pub content_length: LengthField,
    /// `None` without Expect; else whether every member is 100-continue.
    pub expects_only_continue: Option<bool>,
    pub te_trailers: bool,
    pub has_cache_control: bool,
    pub has_set_cookie: bool,
}

/// Appends one field line of `line_bytes` to `fields`. `note` is called for a field that limpet knows, and returns
/// whether to drop it: [`Notes::note`], unless the version of HTTP has rules of its own for the field.
#[inline(always)]
pub(crate) fn push<'b>(
    (name, value, line_bytes): (&'b [u8], &'b [u8], usize),
    limits: &HeadLimits,
    fields: &mut Fields<'b>,
    note: impl FnOnce(FieldId, &'b [u8]) -> bool,
) -> Result<(), LineFault> {
    push_classified((name, value, line_bytes), classify_folded(name), limits, fields, note)
}

/// [`push`] for a name that was classified before.
#[inline(always)]
pub(crate) fn push_classified<'b>(
    (name, value, line_bytes): (&'b [u8], &'b [u8], usize),
    classified: (FieldId, bool),
    limits: &HeadLimits,
    fields: &mut Fields<'b>,
    note: impl FnOnce(FieldId, &'b [u8]) -> bool,
) -> Result<(), LineFault> {
    if line_bytes > limits.field_line_bytes {
        return Err(LineFault::FieldLineTooLong);
    }
    let field = match classified {
        (FieldId::Other, _) => Field::new(name, value, FieldId::Other),
        (id, true) => Field { drop: id.steers(), ..Field::new(name, value, FieldId::Other) },
        (id, false) => Field { drop: note(id, value), ..Field::new(name, value, id) },
    };
    fields.try_push(field).map_err(|_| LineFault::TooManyFields)
}

impl<'b> Notes<'b> {
    /// Notes one field that limpet knows and returns whether it is hop by hop.
    #[inline(always)]
    pub fn note(&mut self, id: FieldId, value: &'b [u8]) -> bool {
        match id {
            FieldId::Host => {
                self.host_repeated |= self.host.is_some();
                self.host = Some(value);
                false
            }
            FieldId::ContentLength => {
                self.content_length.note(value);
                false
            }
            FieldId::Te => {
                self.te_trailers |=
                    members(value).any(|member| eq_ignore_case(member, b"trailers"));
                true
            }
            FieldId::Expect => {
                let known = eq_ignore_case(value, b"100-continue");
                self.expects_only_continue =
                    Some(self.expects_only_continue.unwrap_or(true) && known);
                false
            }
            FieldId::CacheControl => {
                self.has_cache_control = true;
                false
            }
            FieldId::SetCookie => {
                self.has_set_cookie = true;
                false
            }
            FieldId::Connection
            | FieldId::KeepAlive
            | FieldId::ProxyConnection
            | FieldId::Upgrade => true,
            FieldId::Other
            | FieldId::TransferEncoding
            | FieldId::Trailer
            | FieldId::Cookie
            | FieldId::Authorization
            | FieldId::Date
            | FieldId::Forwarded
            | FieldId::XForwardedFor
            | FieldId::XForwardedProto
            | FieldId::XForwardedPort
            | FieldId::XForwardedHost
            | FieldId::XRealIp
            | FieldId::Via
            | FieldId::Referer
            | FieldId::UserAgent
            | FieldId::Traceparent
            | FieldId::WebSocketProof => false,
        }
    }
}
