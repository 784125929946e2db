//! Every failure and its consequences.

use super::Failure;
use crate::exchange::end::End;
use crate::http::refusal::{ChunkFault, ResponseFault};
use crate::telemetry::ended::{By, Cause, Ended, Phase};
use crate::transport::tls::fault::{CertificateFault, HandshakeFault};

use Failure::*;

/// A failure, its status and word, which side ended the exchange and why, and its properties, one letter each: `g` a
/// gateway error, `f` one on a fresh connection only, `c` a connect that failed, `b` before any byte, `a` the client's
/// absence.
type Row = (Failure, u16, &'static str, By, Cause, &'static str);

const TABLE: [Row; 40] = [
    (ClientGone, 499, "client_gone", By::Client, Cause::Closed, "a"),
    (ClientContentTimeout, 408, "client_content_timeout", By::Client, Cause::Timeout, ""),
    (ClientSendTimeout, 499, "client_send_timeout", By::Client, Cause::Timeout, "a"),
    (CLIENT_CHUNK, 400, "chunk_size_empty", By::Client, Cause::Invalid, ""),
    (ContentTooLarge, 413, "content_too_large", By::Client, Cause::Limit, ""),
    (NoTarget, 503, "no_target", By::Limpet, Cause::Unusable, ""),
    (QueueFull, 503, "queue_full", By::Limpet, Cause::Full, ""),
    (QueueTimeout, 503, "queue_timeout", By::Limpet, Cause::Timeout, ""),
    (TargetFull, 503, "target_full", By::Limpet, Cause::Full, ""),
    (ConnectRefused, 502, "connect_refused", By::Target, Cause::Refused, "gc"),
    (ConnectTimeout, 504, "connect_timeout", By::Target, Cause::Timeout, "gc"),
    (ConnectFailed, 502, "connect_failed", By::Target, Cause::Refused, "gc"),
    (NoSocket, 503, "no_socket", By::Limpet, Cause::Exhausted, ""),
    (TargetClosed { any_byte: false }, 502, "target_closed", By::Target, Cause::Closed, "fb"),
    (TargetClosed { any_byte: true }, 502, "target_closed", By::Target, Cause::Closed, "g"),
    (TargetReset { any_byte: false }, 502, "target_reset", By::Target, Cause::Reset, "fb"),
    (TargetReset { any_byte: true }, 502, "target_reset", By::Target, Cause::Reset, "g"),
    (ResponseTimeout, 504, "response_timeout", By::Target, Cause::Timeout, "g"),
    (RESPONSE, 502, "response_bad_status_line", By::Target, Cause::Invalid, "g"),
    (UnaskedUpgrade, 502, "unasked_upgrade", By::Target, Cause::Invalid, "g"),
    (TargetContentShort, 502, "target_content_short", By::Target, Cause::Closed, ""),
    (TargetContentReset, 502, "target_content_reset", By::Target, Cause::Reset, ""),
    (TargetContentTimeout, 502, "target_content_timeout", By::Target, Cause::Timeout, ""),
    (TARGET_CHUNK, 502, "chunk_size_invalid", By::Target, Cause::Invalid, ""),
    (EarlyResponse, 502, "early_response", By::Target, Cause::Closed, ""),
    (TargetSendTimeout, 502, "target_send_timeout", By::Target, Cause::Timeout, "g"),
    (TunnelIdle, 499, "tunnel_idle", By::Limpet, Cause::Timeout, "a"),
    (Stopped, 503, "stopped", By::Limpet, Cause::Shutdown, ""),
    (SessionLost { status: 404 }, 404, "session_lost", By::Limpet, Cause::Unusable, ""),
    (Misdirected, 421, "misdirected", By::Client, Cause::Invalid, ""),
    (
        Handshake(HandshakeFault::Timeout),
        504,
        "handshake_timeout",
        By::Target,
        Cause::Handshake,
        "gc",
    ),
    (Handshake(EXPIRED), 502, "certificate_expired", By::Target, Cause::Handshake, "gc"),
    (UNUSABLE, 502, "unusable_configuration", By::Limpet, Cause::Handshake, "c"),
    (TargetUnprocessed, 502, "target_unprocessed", By::Target, Cause::Refused, ""),
    (NoTunnels, 502, "no_tunnels", By::Target, Cause::Refused, ""),
    (UpgradeMissing, 502, "upgrade_missing", By::Target, Cause::Invalid, ""),
    (CallTimeoutInvalid, 400, "bad_grpc_timeout", By::Client, Cause::Invalid, ""),
    (CallTimeout, 504, "grpc_timeout", By::Client, Cause::Timeout, ""),
    (NotCall { status: 415 }, 415, "not_grpc", By::Client, Cause::Invalid, ""),
    (CallRefused { status: 14 }, 503, "grpc_unavailable", By::Target, Cause::Refused, ""),
];
const EXPIRED: HandshakeFault = HandshakeFault::Certificate(CertificateFault::Expired);
const UNUSABLE: Failure = Handshake(HandshakeFault::Unusable);
const CLIENT_CHUNK: Failure = ClientContentInvalid(ChunkFault::SizeEmpty);
const TARGET_CHUNK: Failure = TargetContentInvalid(ChunkFault::SizeInvalid);
const RESPONSE: Failure = ResponseInvalid(ResponseFault::BadStatusLine);

/// The row of a failure in the table: a new failure needs a row there.
fn row_of(failure: Failure) -> usize {
    match failure {
        ClientGone => 0,
        ClientContentTimeout => 1,
        ClientSendTimeout => 2,
        ClientContentInvalid(_) => 3,
        ContentTooLarge => 4,
        NoTarget => 5,
        QueueFull => 6,
        QueueTimeout => 7,
        TargetFull => 8,
        ConnectRefused => 9,
        ConnectTimeout => 10,
        ConnectFailed => 11,
        NoSocket => 12,
        TargetClosed { any_byte } => 13 + usize::from(any_byte),
        TargetReset { any_byte } => 15 + usize::from(any_byte),
        ResponseTimeout => 17,
        ResponseInvalid(_) => 18,
        UnaskedUpgrade => 19,
        TargetContentShort => 20,
        TargetContentReset => 21,
        TargetContentTimeout => 22,
        TargetContentInvalid(_) => 23,
        EarlyResponse => 24,
        TargetSendTimeout => 25,
        TunnelIdle => 26,
        Stopped => 27,
        SessionLost { .. } => 28,
        Misdirected => 29,
        Handshake(HandshakeFault::Timeout) => 30,
        Handshake(HandshakeFault::Unusable) => 32,
        Handshake(_) => 31,
        TargetUnprocessed => 33,
        NoTunnels => 34,
        UpgradeMissing => 35,
        CallTimeoutInvalid => 36,
        CallTimeout => 37,
        NotCall { .. } => 38,
        CallRefused { .. } => 39,
    }
}

#[test]
fn every_failure_has_one_status_word_side_and_cause() {
    for (at, (failure, status, code, by, cause, is)) in TABLE.into_iter().enumerate() {
        assert_eq!(row_of(failure), at, "{failure:?}");
        assert_eq!((failure.status(), failure.code()), (status, code), "{failure:?}");
        for phase in Phase::ALL {
            assert_eq!(failure.ended(phase), Ended::new(by, phase, cause), "{failure:?}");
        }
        let has = |letter: char| is.contains(letter);
        assert_eq!(failure.is_gateway_error(false), has('g') || has('f'), "{failure:?}, fresh");
        assert_eq!(failure.is_gateway_error(true), has('g'), "{failure:?}, kept");
        assert_eq!(failure.is_connect(), has('c'), "{failure:?}");
        assert_eq!(failure.is_before_any_byte(), has('b'), "{failure:?}");
        assert_eq!(failure.is_clients_absence(), has('a'), "{failure:?}");
    }
}

#[test]
fn a_status_that_is_retried_has_its_word() {
    for (at, status) in crate::http::grpc::STATUSES.iter().enumerate() {
        let status = format!("grpc_{status}");
        assert_eq!(CallRefused { status: u8::try_from(at).unwrap() }.code(), status);
    }
}

#[test]
fn who_is_there_and_was_told_nothing_yet_is_told_of_every_failure() {
    for (failure, .., is) in TABLE {
        let untold = match is.contains('a') {
            true => End::Aborted(failure),
            false => End::Refused(failure),
        };
        assert_eq!(End::of(failure, false), untold);
        assert_eq!(End::of(failure, true), End::Aborted(failure));
    }
}

#[test]
fn a_fault_of_a_message_is_told_by_its_own_word() {
    for &fault in ChunkFault::ALL {
        assert_eq!(ClientContentInvalid(fault).code(), fault.code());
        assert_eq!(ClientContentInvalid(fault).status(), fault.status());
        assert_eq!(TargetContentInvalid(fault).code(), fault.code());
    }
    for &fault in ResponseFault::ALL {
        assert_eq!(ResponseInvalid(fault).code(), fault.code());
        assert_eq!(ResponseInvalid(fault).status(), fault.status());
    }
}
