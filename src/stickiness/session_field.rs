//! The field in which an application hands out its session ids (`app_header`): what of a request's reaches the target,
//! and what of a response's goes to the client.
//!
//! A request's `V.SEAL` reaches the target as `V`; a response's `V` that the client does not know under a seal leaves
//! as `V.SEAL`, one that it does know as the client has sent it. Pure. Tested beside it.

use super::cookie::Plain;
use super::seal::{SealCodec, Sealed, is_session_id};
use super::verdict::{Reading, SessionField, Stickiness};
use crate::http::fields::{Field, FieldId, eq_ignore_case};
use crate::telemetry::reason::Reason;

/// The values of all fields of this name, which none has that limpet itself knows.
#[inline]
pub fn values<'f, 'b>(
    fields: &'f [Field<'b>],
    name: &'f [u8],
) -> impl Iterator<Item = (usize, &'b [u8])> + use<'f, 'b> {
    let is_named =
        move |field: &Field<'b>| field.id == FieldId::Other && eq_ignore_case(field.name, name);
    let lines = fields.iter().enumerate();
    lines.filter(move |(_, field)| is_named(field)).map(|(at, field)| (at, field.value))
}

/// What the session id of a request came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Worth {
    /// No seal that opens.
    #[default]
    Bare,
    /// A seal that opens and does not count any more.
    Outdated,
    Living,
}

/// A session id that a request has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brought<'v> {
    /// Position of the field's line.
    pub at: usize,
    /// As the client sent it.
    pub value: &'v [u8],
    /// What the target is to see of it.
    pub session_id_size: usize,
    pub worth: Worth,
}

/// What becomes of the field in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned<'v> {
    Untouched,
    /// The line at this position is to say what the client sent.
    AsBrought(usize),
    /// The line at this position is to carry a seal behind this session id.
    Sealed(usize, &'v [u8]),
    /// It has several values, or one that is too long, or not visible ASCII: it passes untouched.
    Unfit,
}

impl Stickiness {
    /// Appends the field's value for a session that was `seen` now: its id, a dot and the seal. `nonce` must be fresh
    /// random bytes. `false`, with nothing appended, only if the cryptographic library refuses.
    pub fn write_sealed(
        &self,
        field: &SessionField,
        session_id: &[u8],
        (seen, nonce): (&Plain, [u8; 12]),
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(seal) = field.codec().seal(session_id, seen, nonce) else { return false };
        out.extend_from_slice(session_id);
        out.push(b'.');
        out.extend_from_slice(&seal);
        true
    }

    /// What a sealed session id is worth, which `open` opens.
    pub fn worth<'b>(
        &self,
        field: &SessionField,
        sealed: Sealed<'b>,
        now_s: u64,
        open: impl FnOnce(&SealCodec, Sealed<'b>) -> Option<Plain>,
    ) -> Worth {
        let Some(plain) = open(field.codec(), sealed) else { return Worth::Bare };
        match self.appraise(plain, now_s) {
            Reading::Live(_) => Worth::Living,
            Reading::Absent
            | Reading::Invalid
            | Reading::UnknownKey
            | Reading::Flushed
            | Reading::ExpiredAge
            | Reading::ExpiredIdle => Worth::Outdated,
        }
    }
}

impl Worth {
    /// What the verdict of a scope says of the session id that it has judged.
    pub fn judged(reason: Reason) -> Worth {
        match reason {
            Reason::New | Reason::Invalid | Reason::UnknownKey => Worth::Bare,
            Reason::ExpiredIdle | Reason::ExpiredAge | Reason::Flushed => Worth::Outdated,
            // Only a request that is bound meets a full target as such.
            Reason::Valid
            | Reason::Draining
            | Reason::Unhealthy
            | Reason::Removed
            | Reason::Full => Worth::Living,
        }
    }
}

/// The session id that a request brings; `None` when there is none, or there are several. `worth` says what a sealed
/// one is worth.
#[inline]
pub fn brought<'b>(
    fields: &[Field<'b>],
    name: &[u8],
    worth: impl FnOnce(Sealed<'b>) -> Worth,
) -> Option<Brought<'b>> {
    let mut lines = values(fields, name);
    let (at, value) = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    let sealed = Sealed::split(value).map(|sealed| (sealed.session_id.len(), worth(sealed)));
    let (session_id_size, worth) = match sealed {
        None | Some((_, Worth::Bare)) => (value.len(), Worth::Bare),
        Some(sealed) => sealed,
    };
    Some(Brought { at, value, session_id_size, worth })
}

/// Decides about the session field of a response with this status. `brought` is the session id of its request, and
/// what that was worth.
///
/// A target that answers with success about a session id whose seal is missing or outdated keeps that session.
pub fn returned<'b>(
    fields: &[Field<'b>],
    name: &[u8],
    brought: Option<(&[u8], Worth)>,
    status: u16,
) -> Returned<'b> {
    let mut lines = values(fields, name);
    let Some((at, value)) = lines.next() else { return Returned::Untouched };
    if lines.next().is_some() || !is_session_id(value) {
        return Returned::Unfit;
    }
    let known = brought.filter(|(session_id, _)| *session_id == value);
    match known.map(|(_, worth)| (worth, matches!(status, 200..=299))) {
        None | Some((Worth::Bare | Worth::Outdated, true)) => Returned::Sealed(at, value),
        Some((Worth::Living, _) | (Worth::Outdated, false)) => Returned::AsBrought(at),
        Some((Worth::Bare, false)) => Returned::Untouched,
    }
}

#[cfg(test)]
#[path = "session_field_tests.rs"]
mod tests;
