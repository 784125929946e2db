//! Why a field block cannot be decoded. All of them end the connection, because the two sides then disagree about the
//! dynamic table.

use super::huffman::HuffmanFault;
use crate::http2::frame::error_code::ErrorCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HpackFault {
    /// Index 0, or one beyond both tables (RFC 7541 §2.3.3, §6.1).
    IndexUnknown,
    /// An integer beyond 32 bits, or one written with more bytes than these need (RFC 7541 §5.1).
    IntegerTooLarge,
    /// A Huffman-coded string holds EOS (RFC 7541 §5.2).
    HuffmanEos,
    /// A Huffman-coded string ends in a wrong padding (RFC 7541 §5.2).
    HuffmanPadding,
    /// A dynamic table size update behind the first field of a block (RFC 7541 §4.2).
    SizeUpdateLate,
    /// A dynamic table size update beyond SETTINGS_HEADER_TABLE_SIZE (RFC 7541 §6.3).
    SizeUpdateTooLarge,
    /// The first block after a reduction of SETTINGS_HEADER_TABLE_SIZE does not begin with an update (RFC 9113 §4.3.1).
    SizeUpdateMissing,
    /// The block ends within a representation.
    Truncated,
    /// The block decodes to more than limpet decodes even of a head that it refuses.
    TooLarge,
}

impl HpackFault {
    pub fn code(self) -> ErrorCode {
        match self {
            HpackFault::IndexUnknown
            | HpackFault::IntegerTooLarge
            | HpackFault::HuffmanEos
            | HpackFault::HuffmanPadding
            | HpackFault::SizeUpdateLate
            | HpackFault::SizeUpdateTooLarge
            | HpackFault::SizeUpdateMissing
            | HpackFault::Truncated => ErrorCode::CompressionError,
            HpackFault::TooLarge => ErrorCode::EnhanceYourCalm,
        }
    }
}

impl From<HuffmanFault> for HpackFault {
    fn from(fault: HuffmanFault) -> HpackFault {
        match fault {
            HuffmanFault::Eos => HpackFault::HuffmanEos,
            HuffmanFault::Padding => HpackFault::HuffmanPadding,
        }
    }
}
