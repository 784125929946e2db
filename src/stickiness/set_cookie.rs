//! The Set-Cookie field values that limpet sends: its own cookie, the cross-site twin, their deletion.
//!
//! Everything but the sealed value stands ready in `lines`; writing is two or three copies into the caller's
//! buffer and one sealing. Never writes a field name or a line end. Tested beside it.

use super::cookie::Plain;
use super::verdict::Stickiness;

/// Whom a session belongs to: what a cookie is issued for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    pub generation: u32,
    /// Keys of the group, the target and the home target.
    pub group: u64,
    pub target: u64,
    pub home: u64,
    pub session: u128,
    pub issued_s: u64,
}

impl Assignment {
    /// What is sealed when the session is seen at `now_s`.
    pub fn seen(&self, now_s: u64) -> Plain {
        Plain {
            generation: self.generation,
            group: self.group,
            target: self.target,
            home: self.home,
            session: self.session,
            issued_s: self.issued_s,
            last_seen_s: now_s,
        }
    }
}

impl Stickiness {
    /// Appends the value of a Set-Cookie field for a session as it was `seen`. `nonce` must be fresh random
    /// bytes; `https` says how the client reached us. `false`, with nothing appended, only if the cryptographic
    /// library refuses.
    pub fn write_set_cookie(
        &self,
        seen: &Plain,
        https: bool,
        nonce: [u8; 12],
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(value) = self.codec().seal(seen, nonce) else { return false };
        self.lines().own.write(&value, https, out);
        true
    }

    /// Appends the value of the twin's Set-Cookie field, which needs another nonce. `false`, with nothing
    /// appended, when there is no twin or the client came without TLS, where browsers would refuse it.
    pub fn write_twin_set_cookie(
        &self,
        seen: &Plain,
        https: bool,
        nonce: [u8; 12],
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(twin) = self.lines().twin.as_ref().filter(|_| https) else { return false };
        let Some(value) = self.codec().seal(seen, nonce) else { return false };
        twin.write(&value, https, out);
        true
    }

    /// Appends the value of a Set-Cookie field that deletes the cookie.
    pub fn write_deletion(&self, https: bool, out: &mut Vec<u8>) {
        self.lines().own.write_deletion(https, out);
    }

    /// The same for the twin; `false`, with nothing appended, as for [`Self::write_twin_set_cookie`].
    pub fn write_twin_deletion(&self, https: bool, out: &mut Vec<u8>) -> bool {
        let Some(twin) = self.lines().twin.as_ref().filter(|_| https) else { return false };
        twin.write_deletion(https, out);
        true
    }
}

#[cfg(test)]
#[path = "set_cookie_tests.rs"]
mod tests;
