//! What was wrong with a record, and what its sender is told of it.

use rustls::{AlertDescription, ContentType, Error, InvalidMessage};

/// The error, and the alert for the peer; none where it has said so itself.
pub(super) struct Fault(pub(super) Error, pub(super) Option<AlertDescription>);

impl Fault {
    pub(super) fn unexpected(error: impl Into<Error>) -> Fault {
        Fault(error.into(), Some(AlertDescription::UnexpectedMessage))
    }

    /// A record of a type that may not be there.
    pub(super) fn inappropriate(got_type: ContentType) -> Fault {
        let expect_types = vec![ContentType::ApplicationData];
        Fault::unexpected(Error::InappropriateMessage { expect_types, got_type })
    }

    pub(super) fn undecodable(error: InvalidMessage) -> Fault {
        Fault(error.into(), Some(AlertDescription::DecodeError))
    }

    pub(super) fn overflow() -> Fault {
        Fault(Error::PeerSentOversizedRecord, Some(AlertDescription::RecordOverflow))
    }

    pub(super) fn forged() -> Fault {
        Fault(Error::DecryptError, Some(AlertDescription::BadRecordMac))
    }

    pub(super) fn internal(error: Error) -> Fault {
        Fault(error, Some(AlertDescription::InternalError))
    }
}
