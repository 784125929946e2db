//! Chunk extensions, RFC 9112 §7.1.1: checked for their syntax, then forgotten.

use crate::http::fields::{is_token_byte, is_value_byte};
use crate::http::refusal::ChunkFault;

/// Most bytes of extensions behind one size, the first `;` and white space before it included.
const CHUNK_BYTES_MAX: u32 = 256;
/// Most bytes of extensions in a message.
const MESSAGE_BYTES_MAX: u32 = 16 * 1024;

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`, where BWS is white space that a
/// recipient must parse (RFC 9110 §5.6.3). None may stand at the end.
#[derive(Debug, Default)]
pub(super) struct Extension {
    place: Place,
    chunk_bytes: u32,
    message_bytes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    NameStart,
    Name,
    /// White space behind a name.
    NameEnd,
    ValueStart,
    Token,
    Quoted,
    QuotedPair,
    QuotedEnd,
    /// White space behind a value.
    ValueEnd,
}

impl Extension {
    /// The first `;` behind a size, or white space before it.
    pub fn open(&mut self) -> Result<(), ChunkFault> {
        self.place = Place::NameStart;
        self.chunk_bytes = 0;
        self.count()
    }

    /// Reads one byte that is neither CR nor LF.
    pub fn take_in(&mut self, byte: u8) -> Result<(), ChunkFault> {
        self.count()?;
        self.place = match (self.place, byte) {
            (place @ (Place::NameStart | Place::ValueStart), b' ' | b'\t') => place,
            (Place::Name | Place::NameEnd, b' ' | b'\t') => Place::NameEnd,
            (Place::Token | Place::QuotedEnd | Place::ValueEnd, b' ' | b'\t') => Place::ValueEnd,
            (Place::Name | Place::NameEnd, b'=') => Place::ValueStart,
            (
                Place::Name | Place::NameEnd | Place::Token | Place::QuotedEnd | Place::ValueEnd,
                b';',
            ) => Place::NameStart,
            (Place::ValueStart, b'"') => Place::Quoted,
            (Place::Quoted, b'"') => Place::QuotedEnd,
            (Place::Quoted, b'\\') => Place::QuotedPair,
            (Place::NameStart | Place::Name, byte) if is_token_byte(byte) => Place::Name,
            (Place::ValueStart | Place::Token, byte) if is_token_byte(byte) => Place::Token,
            (Place::Quoted | Place::QuotedPair, byte) if is_value_byte(byte) => Place::Quoted,
            _ => return Err(ChunkFault::ExtensionInvalid),
        };
        Ok(())
    }

    /// The CR behind the extensions.
    pub fn close(&self) -> Result<(), ChunkFault> {
        match self.place {
            Place::Name | Place::Token | Place::QuotedEnd => Ok(()),
            Place::NameStart
            | Place::NameEnd
            | Place::ValueStart
            | Place::Quoted
            | Place::QuotedPair
            | Place::ValueEnd => Err(ChunkFault::ExtensionInvalid),
        }
    }

    /// One more byte of extensions, or of white space before them.
    pub fn count(&mut self) -> Result<(), ChunkFault> {
        self.chunk_bytes = self.chunk_bytes.saturating_add(1);
        self.message_bytes = self.message_bytes.saturating_add(1);
        match self.chunk_bytes > CHUNK_BYTES_MAX || self.message_bytes > MESSAGE_BYTES_MAX {
            true => Err(ChunkFault::ExtensionTooLong),
            false => Ok(()),
        }
    }
}
