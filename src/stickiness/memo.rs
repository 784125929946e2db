//! Cookies and seals that were opened lately, so that a user's next request does not open the same one again.
//!
//! What a value opens to depends on the value and on the codec alone, and neither ever changes: a new key
//! ring or another scope is another codec with an identity of its own. So what is remembered here is
//! what [`Codec::open`] and [`SealCodec::open`] said, for ever true, and nothing that was made of it. Whether the
//! session still counts (age, idleness, a flush) and where it leads (drains, health, removal) is judged anew for each
//! request, from the same [`Plain`] as if it had been opened anew.
//!
//! One table per shard and kind, of a fixed size and without a word of memory per connection. Only values that
//! opened are kept, each in the one place that its bytes name, over what stood there: nobody can fill the
//! table with forgeries. Values are compared in constant time, so that no guess is told apart by how far
//! it is right. Tested beside it, against the codecs.

use std::cell::RefCell;

use super::cookie::{Codec, Plain, VALUE_SIZE};
use super::seal::{SEAL_SIZE, SealCodec, Sealed, sha256};

/// Places of a table: 208 KiB once a cookie has been opened, 264 KiB once a seal has been.
const PLACES: usize = 1024;

/// How many characters before the end of a box the bytes lie that name its place: in the tag, which is as good as
/// random.
const TAG_TEXT_SIZE: usize = 16;

/// Session ids up to this size are compared as they are, longer ones by their SHA-256.
const SESSION_ID_SIZE: usize = 64;

/// A seal, the size of the session id, and the id or its digest.
const SEAL_KEY_SIZE: usize = SEAL_SIZE + 2 + SESSION_ID_SIZE;

/// Opens cookies and seals, and remembers those that it opened last.
#[derive(Debug, Default)]
pub struct Memo {
    cookies: Table<VALUE_SIZE>,
    seals: Table<SEAL_KEY_SIZE>,
}

impl Memo {
    /// What [`Codec::open`] says.
    #[inline]
    pub fn open(&self, codec: &Codec, value: &[u8]) -> Option<Plain> {
        let value: &[u8; VALUE_SIZE] = value.try_into().ok()?;
        let place = place_of(value)?;
        self.cookies.recall(codec.identity(), (place, value), || codec.open(value))
    }

    /// What [`SealCodec::open`] says.
    #[inline]
    pub fn open_seal(&self, codec: &SealCodec, sealed: Sealed<'_>) -> Option<Plain> {
        let place = place_of(sealed.seal)?;
        let key = seal_key(sealed)?;
        self.seals.recall(codec.identity(), (place, &key), || codec.open(sealed))
    }
}

/// What tells a seal and its session id from every other.
fn seal_key(sealed: Sealed<'_>) -> Option<[u8; SEAL_KEY_SIZE]> {
    let Sealed { session_id, seal } = sealed;
    let mut key = [0; SEAL_KEY_SIZE];
    let (start, rest) = key.split_first_chunk_mut::<SEAL_SIZE>()?;
    *start = *seal;
    let (size, rest) = rest.split_first_chunk_mut::<2>()?;
    *size = u16::try_from(session_id.len()).ok()?.to_be_bytes();
    if session_id.len() <= SESSION_ID_SIZE {
        rest.get_mut(..session_id.len())?.copy_from_slice(session_id);
    } else {
        *rest.first_chunk_mut()? = sha256(session_id);
    }
    Some(key)
}

/// What was opened lately, by what tells it from everything else that opens.
#[derive(Debug, Default)]
struct Table<const KEY: usize> {
    /// Empty until something has been opened.
    places: RefCell<Box<[Opened<KEY>]>>,
}

/// A value and what stands in it.
#[derive(Debug, Clone, Copy)]
struct Opened<const KEY: usize> {
    /// The codec's identity; 0 where nothing is remembered.
    codec: u64,
    key: [u8; KEY],
    plain: Plain,
}

impl<const KEY: usize> Opened<KEY> {
    const NOTHING: Self = Opened {
        codec: 0,
        key: [0; KEY],
        plain: Plain {
            generation: 0,
            group: 0,
            target: 0,
            home: 0,
            session: 0,
            issued_s: 0,
            last_seen_s: 0,
        },
    };
}

impl<const KEY: usize> Table<KEY> {
    /// What `open` says, or has said of the same key under the same codec.
    #[inline]
    fn recall(
        &self,
        codec: u64,
        (place, key): (usize, &[u8; KEY]),
        open: impl FnOnce() -> Option<Plain>,
    ) -> Option<Plain> {
        if let Some(known) = self.places.borrow().get(place)
            && known.codec == codec
            && is_same(&known.key, key)
        {
            return Some(known.plain);
        }
        self.open_anew(codec, (place, key), open)
    }

    #[inline(never)]
    fn open_anew(
        &self,
        codec: u64,
        (place, key): (usize, &[u8; KEY]),
        open: impl FnOnce() -> Option<Plain>,
    ) -> Option<Plain> {
        let plain = open()?;
        let mut places = self.places.borrow_mut();
        if places.is_empty() {
            *places = vec![Opened::NOTHING; PLACES].into();
        }
        if let Some(opened) = places.get_mut(place) {
            *opened = Opened { codec, key: *key, plain };
        }
        Some(plain)
    }
}

fn place_of(text: &[u8]) -> Option<usize> {
    let tag = text.last_chunk::<TAG_TEXT_SIZE>()?;
    let bytes = u64::from_le_bytes(*tag.first_chunk()?);
    // Six random bits in each byte, mixed into the upper ones (Fibonacci hashing).
    let mixed = bytes.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Some((mixed >> (64 - PLACES.trailing_zeros())) as usize)
}

fn is_same<const KEY: usize>(one: &[u8; KEY], other: &[u8; KEY]) -> bool {
    one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
#[path = "memo_tests.rs"]
mod tests;
