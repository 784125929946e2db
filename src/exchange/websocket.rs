//! The proof that a WebSocket handshake of HTTP/1.1 was understood (RFC 6455 §4.2.2), which HTTP/2 has none of (RFC 8441
//! §5): limpet asks targets for it in the place of clients of HTTP/2, and gives it to clients of HTTP/1.1 in the place of
//! targets of HTTP/2. Pure. Tested beside it with the example of RFC 6455.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::http::fields::{FieldId, eq_ignore_case};
use crate::http::head::{ContentLength, Method, RequestHead, WEBSOCKET};

/// Bytes of a key as it is sent: 16 random ones in base64.
const KEY_BYTES: usize = 24;
/// Bytes of a proof: those of SHA-1 in base64.
const PROOF_BYTES: usize = 28;
/// RFC 6455 §1.3.
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A value of Sec-WebSocket-Accept.
pub type Proof = [u8; PROOF_BYTES];

/// What one request is sent with, and its answer is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// The key of 16 random bytes.
    pub fn new(random: [u8; 16]) -> Key {
        let mut key = [b'='; KEY_BYTES];
        // 16 bytes are 24 in base64.
        let _ = STANDARD.encode_slice(random, &mut key);
        Key(key)
    }

    /// The key of a whole handshake, as HTTP/1.1 has it: a GET without content that names the protocol.
    pub fn of(head: &RequestHead<'_, '_>) -> Option<Key> {
        let names_it = head.protocols().any(|protocol| eq_ignore_case(protocol, WEBSOCKET));
        let has_none = matches!(head.content, ContentLength::None | ContentLength::Exact(0));
        let is_key = |name: &[u8]| eq_ignore_case(name, b"sec-websocket-key");
        let mut keys = head.fields.iter().filter(|field| is_key(field.name));
        let (Some(key), None) = (keys.next(), keys.next()) else { return None };
        let text: [u8; KEY_BYTES] = key.value.try_into().ok()?;
        let mut decoded = [0; KEY_BYTES];
        let is_whole = STANDARD.decode_slice(text, &mut decoded) == Ok(16);
        let is_handshake = head.method == Method::Get && names_it && has_none && head.upgrade;
        (is_whole && is_handshake && key.id == FieldId::Other).then_some(Key(text))
    }

    /// The value of Sec-WebSocket-Key.
    pub fn text(&self) -> &[u8] {
        &self.0
    }

    /// The value of Sec-WebSocket-Accept that answers it.
    pub fn proof(&self) -> Proof {
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(&self.0);
        context.update(SUFFIX);
        let mut proof = [b'='; PROOF_BYTES];
        // 20 bytes are 28 in base64.
        let _ = STANDARD.encode_slice(context.finish(), &mut proof);
        proof
    }

    /// Whether this value of Sec-WebSocket-Accept is the answer to it.
    pub fn is_accepted_by(&self, accept: &[u8]) -> bool {
        self.proof() == accept
    }
}

#[cfg(test)]
mod tests {
    use crate::exchange::websocket::*;

    #[test]
    fn the_example_of_the_rfc_is_accepted_and_nothing_else() {
        let key = Key(*b"dGhlIHNhbXBsZSBub25jZQ==");
        assert!(key.is_accepted_by(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        for other in [&b""[..], b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo", b"t3pPLMBiTxaQ9kYGzzhZRbK+xOo="] {
            assert!(!key.is_accepted_by(other));
        }
    }

    #[test]
    fn a_key_is_the_base64_of_sixteen_bytes() {
        assert_eq!(Key::new(*b"the sample nonce").text(), b"dGhlIHNhbXBsZSBub25jZQ==");
    }
}
