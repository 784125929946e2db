//! A fixed-size AEAD box in base64url, which cookies and seals are: written and read in stack buffers.
//!
//! ```text
//! 0  version     1   = 1                     ┐ in clear, to choose the key; authenticated
//! 1  key id      2                           ┘
//! 3  nonce      12   random
//! 15 box         P   what is sealed: version 1, key id 2, and then the content (numbers in network order)
//!    tag        16
//! ```
//!
//! Decision: AES-256-GCM-SIV, because nodes that share a ring draw nonces without talking, and it is fast
//! enough: found, decoded, opened and judged in 265 ns with 2 as with 1 000 targets (goal: 300 ns). Of that
//! 217 ns are the opening, 23 ns base64 (55 ns with the `base64` crate, hence `base64-simd`), 17 ns the
//! search. AES-256-GCM would open in 122 ns, but there a repeated nonce lets cookies be forged. Best of
//! many samples on a busy AMD EPYC: `cargo bench --bench target`.
//!
//! Never allocates, never says why a value is refused, never panics on what a client sends. Tested by cookies and
//! seals.

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use base64_simd::AsOut;

use super::keyring::KeyRing;

pub(super) const VERSION: u8 = 1;
/// Version and key id.
pub(super) const HEADER_SIZE: usize = 3;
const TAG_SIZE: usize = 16;
/// The largest content of a box, which is a cookie's.
pub(super) const PLAIN_SIZE_MAX: usize = 63;
const BOX_SIZE_MAX: usize = HEADER_SIZE + NONCE_LEN + PLAIN_SIZE_MAX + TAG_SIZE;

/// Characters of a box around so many bytes.
pub(super) const fn text_size(plain_size: usize) -> usize {
    ((HEADER_SIZE + NONCE_LEN + plain_size + TAG_SIZE) * 4).div_ceil(3)
}

/// What the box around a content is bound to, for one key of a ring.
pub(super) fn header(key_id: u16) -> [u8; HEADER_SIZE] {
    let [high, low] = key_id.to_be_bytes();
    [VERSION, high, low]
}

/// Seals `plain`, which begins with [`header`], under the first key of the ring. `nonce` must be fresh random bytes.
/// `None` only if the cryptographic library refuses, which it has no reason to.
pub(super) fn seal<const PLAIN: usize, const TEXT: usize>(
    ring: &KeyRing,
    associated: &[u8],
    mut plain: [u8; PLAIN],
    nonce: [u8; NONCE_LEN],
) -> Option<[u8; TEXT]> {
    let (key_id, key) = ring.keys().first()?;
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated),
            &mut plain,
        )
        .ok()?;
    let mut whole = [0; BOX_SIZE_MAX];
    let mut rest = &mut whole[..];
    put(&mut rest, &header(*key_id));
    put(&mut rest, &nonce);
    put(&mut rest, &plain);
    put(&mut rest, tag.as_ref());
    let left = rest.len();
    let whole = whole.get(..BOX_SIZE_MAX - left)?;
    let mut text = [0; TEXT];
    let size = base64_simd::URL_SAFE_NO_PAD.encode(whole, text.as_mut_slice().as_out()).len();
    (size == TEXT).then_some(text)
}

/// What stands in the box `text`, behind its [`header`], if one of the ring's keys sealed it for what `associated`
/// says of the key at a position of the ring.
#[inline]
pub(super) fn open<const PLAIN: usize, A: AsRef<[u8]>>(
    ring: &KeyRing,
    text: &[u8],
    associated: impl FnOnce(usize, u16) -> Option<A>,
) -> Option<[u8; PLAIN]> {
    if text.len() != text_size(PLAIN) {
        return None;
    }
    let mut decoded = [0; BOX_SIZE_MAX];
    let mut rest =
        &*base64_simd::URL_SAFE_NO_PAD.decode(text, decoded.as_mut_slice().as_out()).ok()?;
    let [version, high, low] = take(&mut rest)?;
    if version != VERSION {
        return None;
    }
    let key_id = u16::from_be_bytes([high, low]);
    let position = ring.keys().iter().position(|(id, _)| *id == key_id)?;
    let (_, key) = ring.keys().get(position)?;
    let associated = associated(position, key_id)?;
    let nonce: [u8; NONCE_LEN] = take(&mut rest)?;
    let sealed: [u8; PLAIN] = take(&mut rest)?;
    let tag: [u8; TAG_SIZE] = take(&mut rest)?;
    let mut plain = [0; PLAIN];
    key.open_separate_gather(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(associated.as_ref()),
        &sealed,
        &tag,
        &mut plain,
    )
    .ok()?;
    (plain.first_chunk() == Some(&header(key_id))).then_some(plain)
}

/// Whether `text` is a box around so many bytes, sealed under a key that is not in the ring.
#[cold]
pub(super) fn is_of_unknown_key(ring: &KeyRing, text: &[u8], plain_size: usize) -> bool {
    let mut decoded = [0; BOX_SIZE_MAX];
    let decoded = (text.len() == text_size(plain_size))
        .then(|| base64_simd::URL_SAFE_NO_PAD.decode(text, decoded.as_mut_slice().as_out()).ok())
        .flatten();
    match decoded.as_deref() {
        Some([VERSION, high, low, ..]) => {
            let key_id = u16::from_be_bytes([*high, *low]);
            ring.ids().all(|known| known != key_id)
        }
        _ => false,
    }
}

pub(super) fn put(rest: &mut &mut [u8], bytes: &[u8]) {
    if let Some((head, tail)) = std::mem::take(rest).split_at_mut_checked(bytes.len()) {
        head.copy_from_slice(bytes);
        *rest = tail;
    }
}

pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}
