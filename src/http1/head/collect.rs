//! The one pass over the field lines of a head: classification, line endings, limits, and the few
//! values that the judgement needs. Hop-by-hop fields and look-alikes are marked here; what
//! Connection names is marked by [`super::connection`].

use httparse::Header;

use crate::http::fields::{
    Field, FieldId, Fields, classify_folded, eq_ignore_case, look_alike_is_dropped, members,
};
use crate::http::head::HeadLimits;
use crate::http::refusal::LineFault;
use crate::http1::framing::FramingFields;

/// What the pass saw.
#[derive(Debug, Default)]
pub(super) struct Collected<'b> {
    /// Length of the start line without its CRLF.
    pub start_line_bytes: usize,
    pub host: Option<&'b [u8]>,
    pub host_repeated: bool,
    pub framing: FramingFields,
    pub connection_count: u32,
    /// `None` without Expect; else whether every member is 100-continue.
    pub expects_only_continue: Option<bool>,
    pub upgrade: bool,
    pub te_trailers: bool,
    pub keep_alive: Option<&'b [u8]>,
    pub cache_control: bool,
    pub set_cookie: bool,
}

/// Where `part`, a range of `whole`, begins in it.
#[inline]
pub(in crate::http1) fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize)
}

/// Fills `fields` from the lines that httparse split. `raw` is the whole head.
///
/// httparse takes a bare LF for a line's end; every other LF or CR it refuses. So each line's end
/// being CRLF, checked here, means that the head has no bare one.
pub(super) fn collect<'b>(
    raw: &'b [u8],
    headers: &[Header<'b>],
    limits: &HeadLimits,
    fields: &mut Fields<'b>,
) -> Result<Collected<'b>, LineFault> {
    let mut collected = Collected::default();
    let Some(head_end) = raw.len().checked_sub(2) else { return Err(LineFault::BareLf) };
    if !raw.ends_with(b"\r\n") {
        return Err(LineFault::BareLf);
    }
    let line_start = |at: usize| match headers.get(at) {
        Some(header) => offset_in(raw, header.name.as_bytes()),
        None => head_end,
    };
    let mut start = line_start(0);
    collected.start_line_bytes = line_bytes(raw, 0, start)?;
    if collected.start_line_bytes > limits.request_line_bytes {
        return Err(LineFault::StartLineTooLong);
    }
    for (at, header) in headers.iter().enumerate() {
        let next = line_start(at.saturating_add(1));
        if line_bytes(raw, start, next)? > limits.field_line_bytes {
            return Err(LineFault::FieldLineTooLong);
        }
        start = next;
        let field = collected.field(header.name.as_bytes(), header.value);
        fields.try_push(field).map_err(|_| LineFault::TooManyFields)?;
    }
    if raw.len() > limits.head_bytes {
        return Err(LineFault::HeadTooLong);
    }
    Ok(collected)
}

/// Length of the line from `start` to the next one at `next`, without its CRLF.
#[inline]
fn line_bytes(raw: &[u8], start: usize, next: usize) -> Result<usize, LineFault> {
    match raw.get(start..next) {
        Some([line @ .., b'\r', b'\n']) => Ok(line.len()),
        _ => Err(LineFault::BareLf),
    }
}

impl<'b> Collected<'b> {
    /// Takes in one field line.
    #[inline(always)]
    pub fn field(&mut self, name: &'b [u8], value: &'b [u8]) -> Field<'b> {
        match classify_folded(name) {
            (FieldId::Other, _) => Field { name, value, id: FieldId::Other, drop: false },
            (id, true) => {
                Field { name, value, id: FieldId::Other, drop: look_alike_is_dropped(id) }
            }
            (id, false) => Field { name, value, id, drop: self.note(id, value) },
        }
    }

    /// Takes in one field that limpet knows and says whether it is hop by hop.
    #[inline]
    fn note(&mut self, id: FieldId, value: &'b [u8]) -> bool {
        match id {
            FieldId::Host => {
                self.host_repeated |= self.host.is_some();
                self.host = Some(value);
                false
            }
            FieldId::ContentLength => {
                self.framing.content_length(value);
                false
            }
            FieldId::TransferEncoding => {
                self.framing.transfer_encoding(value);
                false
            }
            FieldId::Connection => {
                self.connection_count = self.connection_count.saturating_add(1);
                true
            }
            FieldId::KeepAlive => {
                self.keep_alive = Some(value);
                true
            }
            FieldId::ProxyConnection => true,
            FieldId::Te => {
                self.te_trailers |=
                    members(value).any(|member| eq_ignore_case(member, b"trailers"));
                true
            }
            FieldId::Upgrade => {
                self.upgrade = true;
                true
            }
            FieldId::Expect => {
                let known = eq_ignore_case(value, b"100-continue");
                self.expects_only_continue =
                    Some(self.expects_only_continue.unwrap_or(true) && known);
                false
            }
            FieldId::CacheControl => {
                self.cache_control = true;
                false
            }
            FieldId::SetCookie => {
                self.set_cookie = true;
                false
            }
            FieldId::Other
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
            | FieldId::Traceparent => false,
        }
    }
}

/// Marks every field with this id as not to be forwarded.
pub(super) fn drop_all(fields: &mut Fields<'_>, id: FieldId) {
    fields.iter_mut().filter(|field| field.id == id).for_each(|field| field.drop = true);
}
