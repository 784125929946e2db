//! The value of a stickiness cookie: a fixed-size AEAD box in base64url, read and written in stack buffers.
//!
//! ```text
//! value   = base64url(no padding) of 94 bytes = 126 characters, see `sealed_box`
//! 15 box        63   version 1, key id 2, group generation 4, group 8, target 8, home target 8,
//!                    session 16, issued 8, last seen 8            (numbers in network order)
//! associated data = version, key id, kind of scope ("g" or "r"), name of the scope
//! ```
//!
//! Never allocates, never says why a value is refused, never panics on what a client sends. Tested by
//! vectors, by turning every bit, by every length, by properties and by the fuzz target `cookie`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::NONCE_LEN;

use super::keyring::KeyRing;
use super::sealed_box::{self, HEADER_SIZE, PLAIN_SIZE_MAX, put, take, text_size};

const PLAIN_SIZE: usize = PLAIN_SIZE_MAX;
/// Characters of every cookie value.
pub const VALUE_SIZE: usize = text_size(PLAIN_SIZE);

/// What a cookie is about; bound to it as associated data, so that a value taken from one scope's cookie
/// never opens as another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One target group, by name.
    Group(Box<str>),
    /// A rule over several groups, by name.
    Rule(Box<str>),
}

impl Scope {
    pub fn name(&self) -> &str {
        match self {
            Scope::Group(name) | Scope::Rule(name) => name,
        }
    }

    pub(super) fn kind(&self) -> u8 {
        match self {
            Scope::Group(_) => b'g',
            Scope::Rule(_) => b'r',
        }
    }
}

/// What stands in the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain {
    /// "Flush stickiness" outdates all below the scope's own.
    pub generation: u32,
    /// Key of the target group.
    pub group: u64,
    /// Key of the target that serves the session.
    pub target: u64,
    /// Key of the target the session belongs to; another than `target` only under `failback = "healthy"`.
    pub home: u64,
    /// Random; the same as long as the session lasts. Fail-over hashes it.
    pub session: u128,
    /// Seconds since the epoch.
    pub issued_s: u64,
    pub last_seen_s: u64,
}

impl Plain {
    fn write(&self, key_id: u16) -> [u8; PLAIN_SIZE] {
        let mut bytes = [0; PLAIN_SIZE];
        let mut rest = &mut bytes[..];
        self.put(key_id, &mut rest);
        put(&mut rest, &self.last_seen_s.to_be_bytes());
        bytes
    }

    /// Writes everything but when the session was last seen, behind the header of a box.
    pub(super) fn put(&self, key_id: u16, rest: &mut &mut [u8]) {
        put(rest, &sealed_box::header(key_id));
        put(rest, &self.generation.to_be_bytes());
        put(rest, &self.group.to_be_bytes());
        put(rest, &self.target.to_be_bytes());
        put(rest, &self.home.to_be_bytes());
        put(rest, &self.session.to_be_bytes());
        put(rest, &self.issued_s.to_be_bytes());
    }

    fn read(bytes: &[u8; PLAIN_SIZE]) -> Option<Plain> {
        let mut rest = &bytes[..];
        let plain = Plain::take(&mut rest)?;
        Some(Plain { last_seen_s: u64::from_be_bytes(take(&mut rest)?), ..plain })
    }

    /// Reads what [`Plain::put`] writes; last seen is when it was issued.
    pub(super) fn take(rest: &mut &[u8]) -> Option<Plain> {
        let _header: [u8; HEADER_SIZE] = take(rest)?;
        let mut plain = Plain {
            generation: u32::from_be_bytes(take(rest)?),
            group: u64::from_be_bytes(take(rest)?),
            target: u64::from_be_bytes(take(rest)?),
            home: u64::from_be_bytes(take(rest)?),
            session: u128::from_be_bytes(take(rest)?),
            issued_s: u64::from_be_bytes(take(rest)?),
            last_seen_s: 0,
        };
        plain.last_seen_s = plain.issued_s;
        Some(plain)
    }
}

/// Seals and opens the cookies of one scope.
#[derive(Debug)]
pub struct Codec {
    /// Its own in this process, never 0 and never used again: with the value it stands for what
    /// [`Codec::open`] says.
    identity: u64,
    ring: Arc<KeyRing>,
    /// Associated data for each key of the ring, in its order.
    associated: Box<[Box<[u8]>]>,
}

impl Codec {
    pub fn new(scope: &Scope, ring: Arc<KeyRing>) -> Codec {
        let associated = ring
            .ids()
            .map(|id| {
                let mut data = sealed_box::header(id).to_vec();
                data.push(scope.kind());
                data.extend_from_slice(scope.name().as_bytes());
                data.into_boxed_slice()
            })
            .collect();
        Codec { identity: next_identity(), ring, associated }
    }

    pub(super) fn identity(&self) -> u64 {
        self.identity
    }

    /// The value for `plain` under the first key. `nonce` must be fresh random bytes. `None` only if the
    /// cryptographic library refuses, which it has no reason to.
    pub fn seal(&self, plain: &Plain, nonce: [u8; NONCE_LEN]) -> Option<[u8; VALUE_SIZE]> {
        let plain = plain.write(self.ring.ids().next()?);
        sealed_box::seal(&self.ring, self.associated.first()?, plain, nonce)
    }

    /// What stands in `value`, if one of the ring's keys sealed it for this scope. The reason of a refusal
    /// is nobody's business.
    pub fn open(&self, value: &[u8]) -> Option<Plain> {
        let associated = |position: usize, _| self.associated.get(position);
        Plain::read(&sealed_box::open(&self.ring, value, associated)?)
    }

    /// Whether a value that does not open was sealed under a key that the ring does not hold.
    pub(super) fn is_of_unknown_key(&self, value: &[u8]) -> bool {
        sealed_box::is_of_unknown_key(&self.ring, value, PLAIN_SIZE)
    }
}

/// A number that no other codec of this process has; never 0.
pub(super) fn next_identity() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The value of the first pair named `name` in Cookie field values; see [`find_all`].
pub fn find<'a>(values: impl IntoIterator<Item = &'a [u8]>, name: &[u8]) -> Option<&'a [u8]> {
    find_all(values, name).next()
}

/// The values of all pairs named `name` in Cookie field values, in order and in place (RFC 6265 §4.2.1).
/// The name is compared byte for byte; white space around a pair is not part of it; quotes are part of a
/// value.
pub fn find_all<'a, 'n, V>(values: V, name: &'n [u8]) -> Named<'a, 'n, V::IntoIter>
where
    V: IntoIterator<Item = &'a [u8]>,
{
    Named { values: values.into_iter(), rest: b"", name }
}

/// See [`find_all`].
#[derive(Debug, Clone)]
pub struct Named<'a, 'n, I> {
    values: I,
    /// What has not been looked at of the field value that was taken last; begins with a pair.
    rest: &'a [u8],
    name: &'n [u8],
}

impl<'a, I: Iterator<Item = &'a [u8]>> Iterator for Named<'a, '_, I> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            while !self.rest.is_empty() {
                let pair = self.rest.trim_ascii_start();
                let value = value_of(pair, self.name);
                let from = value.unwrap_or(pair);
                let end = memchr::memchr(b';', from).unwrap_or(from.len());
                self.rest = from.get(end + 1..).unwrap_or_default();
                if value.is_some() {
                    return Some(from.get(..end)?.trim_ascii());
                }
            }
            self.rest = self.values.next()?;
        }
    }
}

/// What follows the equals sign of the pair that `text` begins with, if it has this name.
#[inline]
fn value_of<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let after_name = text.strip_prefix(name).filter(|_| !name.is_empty())?;
    after_name.trim_ascii_start().strip_prefix(b"=")
}

#[cfg(test)]
#[path = "cookie_tests.rs"]
mod tests;
