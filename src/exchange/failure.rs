//! Everything that can go wrong in an exchange, and its consequences: small, closed, total.
//!
//! Each variant is one cause on one side. Its status is the client's response where nothing has been sent yet; once a
//! response has begun a failure can only be shown by an aborted connection.

use crate::http::refusal::{ChunkFault, ResponseFault};
use crate::telemetry::ended::{By, Cause, Ended, Phase};
use crate::transport::tls::fault::HandshakeFault;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    // The client's side.
    /// Reset, or gone before its request was whole or its response was taken.
    ClientGone,
    /// Its content stopped coming, or came slower than the minimum rate.
    ClientContentTimeout,
    /// It took no byte of the response for too long.
    ClientSendTimeout,
    ClientContentInvalid(ChunkFault),
    /// More content than the listener's limit, seen while it streamed.
    ContentTooLarge,
    /// Its host asks for other client certificates than its connection's handshake did.
    Misdirected,
    /// Its `grpc-timeout` is none.
    CallTimeoutInvalid,
    /// The time has passed that its `grpc-timeout` gives the call.
    CallTimeout,
    /// The group's targets answer calls of gRPC only, and it is none: of another method (405), content type (415) or
    /// version of HTTP (505).
    NotCall {
        status: u16,
    },

    // Finding a target.
    NoTarget,
    QueueFull,
    QueueTimeout,
    /// The group's `on_full` is `reject`.
    TargetFull,
    /// The session went with its target, and the group's `on_lost` is this status.
    SessionLost {
        status: u16,
    },

    // Connecting.
    ConnectRefused,
    ConnectTimeout,
    /// No route, no permission, a reset during the handshake.
    ConnectFailed,
    /// No TLS connection has come of it.
    Handshake(HandshakeFault),
    /// This process is out of descriptors, ports or memory.
    NoSocket,

    // The target's side.
    /// Closed before the response's head was whole. `any_byte`: whether some of it had come.
    TargetClosed {
        any_byte: bool,
    },
    TargetReset {
        any_byte: bool,
    },
    /// It has not looked at the request, and says so (RFC 9113 §8.7).
    TargetUnprocessed,
    ResponseTimeout,
    ResponseInvalid(ResponseFault),
    /// A 101 that the client did not ask for.
    UnaskedUpgrade,
    /// A success in place of the tunnel that the client asked for.
    UpgradeMissing,
    /// The client asked for a tunnel, and the target's SETTINGS say that it opens none (RFC 8441 §3).
    NoTunnels,
    /// A status of gRPC after which the group tries a call again; what it was answered was not passed on.
    CallRefused {
        status: u8,
    },
    /// Closed inside the response's content.
    TargetContentShort,
    /// Reset inside the response's content.
    TargetContentReset,
    TargetContentTimeout,
    TargetContentInvalid(ChunkFault),
    /// Its response was whole before the request's content, the rest of which was dropped.
    EarlyResponse,
    /// It took no byte of a request's content, or of a tunnel, for too long.
    TargetSendTimeout,

    // limpet's own.
    TunnelIdle,
    Stopped,
}

impl Failure {
    /// The status for the client; 499 stands only in the log.
    pub fn status(self) -> u16 {
        match self {
            Failure::ClientGone | Failure::ClientSendTimeout | Failure::TunnelIdle => 499,
            Failure::ClientContentTimeout => 408,
            Failure::ClientContentInvalid(_) | Failure::CallTimeoutInvalid => 400,
            Failure::ContentTooLarge => 413,
            Failure::Misdirected => 421,
            Failure::SessionLost { status } | Failure::NotCall { status } => status,
            Failure::NoTarget
            | Failure::QueueFull
            | Failure::QueueTimeout
            | Failure::TargetFull
            | Failure::NoSocket
            | Failure::CallRefused { .. }
            | Failure::Stopped => 503,
            Failure::ConnectTimeout
            | Failure::Handshake(HandshakeFault::Timeout)
            | Failure::CallTimeout
            | Failure::ResponseTimeout => 504,
            Failure::ConnectRefused
            | Failure::ConnectFailed
            | Failure::Handshake(_)
            | Failure::TargetClosed { .. }
            | Failure::TargetReset { .. }
            | Failure::TargetUnprocessed
            | Failure::ResponseInvalid(_)
            | Failure::UnaskedUpgrade
            | Failure::UpgradeMissing
            | Failure::NoTunnels
            | Failure::TargetContentShort
            | Failure::TargetContentReset
            | Failure::TargetContentTimeout
            | Failure::TargetContentInvalid(_)
            | Failure::EarlyResponse
            | Failure::TargetSendTimeout => 502,
        }
    }

    /// The word for the log and the counters.
    pub fn code(self) -> &'static str {
        match self {
            Failure::ClientGone => "client_gone",
            Failure::ClientContentTimeout => "client_content_timeout",
            Failure::ClientSendTimeout => "client_send_timeout",
            Failure::ClientContentInvalid(fault) => fault.code(),
            Failure::ContentTooLarge => "content_too_large",
            Failure::Misdirected => "misdirected",
            Failure::CallTimeoutInvalid => "bad_grpc_timeout",
            Failure::CallTimeout => "grpc_timeout",
            Failure::NotCall { .. } => "not_grpc",
            Failure::CallRefused { status } => call_word(status),
            Failure::NoTarget => "no_target",
            Failure::QueueFull => "queue_full",
            Failure::QueueTimeout => "queue_timeout",
            Failure::TargetFull => "target_full",
            Failure::SessionLost { .. } => "session_lost",
            Failure::ConnectRefused => "connect_refused",
            Failure::ConnectTimeout => "connect_timeout",
            Failure::ConnectFailed => "connect_failed",
            Failure::Handshake(fault) => fault.code(),
            Failure::NoSocket => "no_socket",
            Failure::TargetClosed { .. } => "target_closed",
            Failure::TargetReset { .. } => "target_reset",
            Failure::TargetUnprocessed => "target_unprocessed",
            Failure::ResponseTimeout => "response_timeout",
            Failure::ResponseInvalid(fault) => fault.code(),
            Failure::UnaskedUpgrade => "unasked_upgrade",
            Failure::UpgradeMissing => "upgrade_missing",
            Failure::NoTunnels => "no_tunnels",
            Failure::TargetContentShort => "target_content_short",
            Failure::TargetContentReset => "target_content_reset",
            Failure::TargetContentTimeout => "target_content_timeout",
            Failure::TargetContentInvalid(fault) => fault.code(),
            Failure::EarlyResponse => "early_response",
            Failure::TargetSendTimeout => "target_send_timeout",
            Failure::TunnelIdle => "tunnel_idle",
            Failure::Stopped => "stopped",
        }
    }

    /// Which side ended the exchange and why, for the log, in the given `phase`.
    pub fn ended(self, phase: Phase) -> Ended {
        let (by, cause) = match self {
            Failure::ClientGone => (By::Client, Cause::Closed),
            Failure::ClientContentTimeout | Failure::ClientSendTimeout | Failure::CallTimeout => {
                (By::Client, Cause::Timeout)
            }
            Failure::ClientContentInvalid(_)
            | Failure::CallTimeoutInvalid
            | Failure::NotCall { .. }
            | Failure::Misdirected => (By::Client, Cause::Invalid),
            Failure::ContentTooLarge => (By::Client, Cause::Limit),
            Failure::NoTarget | Failure::SessionLost { .. } => (By::Limpet, Cause::Unusable),
            Failure::QueueFull | Failure::TargetFull => (By::Limpet, Cause::Full),
            Failure::QueueTimeout | Failure::TunnelIdle => (By::Limpet, Cause::Timeout),
            Failure::ConnectRefused
            | Failure::ConnectFailed
            | Failure::TargetUnprocessed
            | Failure::NoTunnels
            | Failure::CallRefused { .. } => (By::Target, Cause::Refused),
            Failure::ConnectTimeout
            | Failure::ResponseTimeout
            | Failure::TargetContentTimeout
            | Failure::TargetSendTimeout => (By::Target, Cause::Timeout),
            Failure::Handshake(HandshakeFault::Unusable) => (By::Limpet, Cause::Handshake),
            Failure::Handshake(_) => (By::Target, Cause::Handshake),
            Failure::NoSocket => (By::Limpet, Cause::Exhausted),
            Failure::TargetClosed { .. } | Failure::TargetContentShort | Failure::EarlyResponse => {
                (By::Target, Cause::Closed)
            }
            Failure::TargetReset { .. } | Failure::TargetContentReset => (By::Target, Cause::Reset),
            Failure::ResponseInvalid(_)
            | Failure::UnaskedUpgrade
            | Failure::UpgradeMissing
            | Failure::TargetContentInvalid(_) => (By::Target, Cause::Invalid),
            Failure::Stopped => (By::Limpet, Cause::Shutdown),
        };
        Ended::new(by, phase, cause)
    }

    /// Whether the target closed its connection before any byte of an answer: the connection had gone stale in the
    /// pool, or the target died while it held the request.
    pub fn is_before_any_byte(self) -> bool {
        matches!(
            self,
            Failure::TargetClosed { any_byte: false } | Failure::TargetReset { any_byte: false }
        )
    }

    /// Whether the target could not be reached or gave no valid response, which counts towards its ejection. That a
    /// kept connection (`was_reused`) had gone stale says nothing about the target.
    pub fn is_gateway_error(self, was_reused: bool) -> bool {
        match self {
            Failure::TargetClosed { any_byte } | Failure::TargetReset { any_byte } => {
                any_byte || !was_reused
            }
            Failure::ConnectRefused
            | Failure::ConnectTimeout
            | Failure::ConnectFailed
            | Failure::ResponseTimeout
            | Failure::ResponseInvalid(_)
            | Failure::UnaskedUpgrade
            | Failure::TargetSendTimeout => true,
            Failure::Handshake(fault) => fault != HandshakeFault::Unusable,
            Failure::ClientGone
            | Failure::ClientContentTimeout
            | Failure::ClientSendTimeout
            | Failure::ClientContentInvalid(_)
            | Failure::ContentTooLarge
            | Failure::Misdirected
            | Failure::CallTimeoutInvalid
            | Failure::CallTimeout
            | Failure::NotCall { .. }
            | Failure::CallRefused { .. }
            | Failure::NoTarget
            | Failure::QueueFull
            | Failure::QueueTimeout
            | Failure::TargetFull
            | Failure::SessionLost { .. }
            | Failure::NoSocket
            | Failure::TargetUnprocessed
            | Failure::UpgradeMissing
            | Failure::NoTunnels
            | Failure::TargetContentShort
            | Failure::TargetContentReset
            | Failure::TargetContentTimeout
            | Failure::TargetContentInvalid(_)
            | Failure::EarlyResponse
            | Failure::TunnelIdle
            | Failure::Stopped => false,
        }
    }

    /// Whether the client is gone and cannot be told; the status stands only in the log.
    pub fn is_clients_absence(self) -> bool {
        self.status() == 499
    }

    /// Whether no connection to the target was made that a request can be sent on, so that it has seen nothing of the request.
    pub fn is_connect(self) -> bool {
        matches!(
            self,
            Failure::ConnectRefused
                | Failure::ConnectTimeout
                | Failure::ConnectFailed
                | Failure::Handshake(_)
        )
    }
}

/// The statuses of gRPC, for the log and the counters.
const CALL_WORDS: [&str; 17] = [
    "grpc_ok",
    "grpc_cancelled",
    "grpc_unknown",
    "grpc_invalid_argument",
    "grpc_deadline_exceeded",
    "grpc_not_found",
    "grpc_already_exists",
    "grpc_permission_denied",
    "grpc_resource_exhausted",
    "grpc_failed_precondition",
    "grpc_aborted",
    "grpc_out_of_range",
    "grpc_unimplemented",
    "grpc_internal",
    "grpc_unavailable",
    "grpc_data_loss",
    "grpc_unauthenticated",
];

fn call_word(status: u8) -> &'static str {
    CALL_WORDS.get(usize::from(status)).copied().unwrap_or("grpc_unknown")
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
