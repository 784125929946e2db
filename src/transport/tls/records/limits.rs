//! How much a record may have, and how many may come without data.

use rustls::PeerMisbehaved;

use super::fault::Fault;

/// The longest data of one record (RFC 8446 §5.1, RFC 5246 §6.2.1).
pub const RECORD_DATA_MAX: usize = 16_384;
/// The longest message behind a handshake: a ticket with its extensions.
pub(super) const MESSAGE_MAX: usize = 1 << 16;
/// How many records without data may come in a row: empty ones, tickets, and requests for new keys, of each so many.
const WITHOUT_DATA_MAX: u8 = 32;

/// How many records without data may still come before the next data.
pub(super) struct Left {
    pub(super) empty: u8,
    pub(super) tickets: u8,
    pub(super) updates: u8,
}

impl Left {
    pub(super) const ALL: Left =
        Left { empty: WITHOUT_DATA_MAX, tickets: WITHOUT_DATA_MAX, updates: WITHOUT_DATA_MAX };
}

/// Takes one of those that are left.
pub(super) fn count(left: &mut u8, error: PeerMisbehaved) -> Result<(), Fault> {
    *left = left.checked_sub(1).ok_or_else(|| Fault::unexpected(error))?;
    Ok(())
}
