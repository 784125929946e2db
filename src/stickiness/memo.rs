//! Cookies that were opened lately, so that a user's next request does not open the same one again.
//!
//! What a value opens to depends on the value and on the codec alone, and neither ever changes: a new key
//! ring or another scope is another [`Codec`] with an identity of its own. So what is remembered here is
//! what [`Codec::open`] said, for ever true, and nothing that was made of it. Whether the cookie still
//! counts (age, idleness, a flush) and where it leads (drains, health, removal) is judged anew for each
//! request, from the same [`Plain`] as if it had been opened anew.
//!
//! One table per shard, of a fixed size and without a word of memory per connection. Only values that
//! opened are kept, each in the one place that its bytes name, over what stood there: nobody can fill the
//! table with forgeries. Values are compared in constant time, so that no guess is told apart by how far
//! it is right. Tested beside it, against the codec.

use std::cell::RefCell;

use super::cookie::{Codec, Plain, VALUE_SIZE};

/// Places of a table: 208 KiB once a cookie has been opened.
const PLACES: usize = 1024;

/// Where the bytes lie that name a value's place: in the tag, which is as good as random.
const TAG_AT: usize = VALUE_SIZE - 16;

/// Opens cookies, and remembers those that it opened last.
#[derive(Debug, Default)]
pub struct CookieMemo {
    /// Empty until a cookie has been opened.
    places: RefCell<Box<[Opened]>>,
}

/// A value and what stands in it.
#[derive(Debug, Clone, Copy)]
struct Opened {
    /// [`Codec::identity`]; 0 where nothing is remembered.
    codec: u64,
    value: [u8; VALUE_SIZE],
    plain: Plain,
}

const NOTHING: Opened = Opened {
    codec: 0,
    value: [0; VALUE_SIZE],
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

impl CookieMemo {
    /// What [`Codec::open`] says.
    #[inline]
    pub fn open(&self, codec: &Codec, value: &[u8]) -> Option<Plain> {
        let value: &[u8; VALUE_SIZE] = value.try_into().ok()?;
        let place = place_of(value)?;
        if let Some(known) = self.places.borrow().get(place)
            && known.codec == codec.identity()
            && is_same(&known.value, value)
        {
            return Some(known.plain);
        }
        self.open_anew(codec, value, place)
    }

    #[inline(never)]
    fn open_anew(&self, codec: &Codec, value: &[u8; VALUE_SIZE], place: usize) -> Option<Plain> {
        let plain = codec.open(value)?;
        let mut places = self.places.borrow_mut();
        if places.is_empty() {
            *places = vec![NOTHING; PLACES].into();
        }
        if let Some(opened) = places.get_mut(place) {
            *opened = Opened { codec: codec.identity(), value: *value, plain };
        }
        Some(plain)
    }
}

fn place_of(value: &[u8; VALUE_SIZE]) -> Option<usize> {
    let bytes = u64::from_le_bytes(*value.get(TAG_AT..)?.first_chunk()?);
    // Six random bits in each byte, mixed into the upper ones (Fibonacci hashing).
    let mixed = bytes.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Some((mixed >> (64 - PLACES.trailing_zeros())) as usize)
}

fn is_same(one: &[u8; VALUE_SIZE], other: &[u8; VALUE_SIZE]) -> bool {
    one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
#[path = "memo_tests.rs"]
mod tests;
