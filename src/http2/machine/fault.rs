//! Why a connection ends in an error: a closed set, each with the code of its GOAWAY and a word for log and metric.
//!
//! Pure. Tested as a table, and variant by variant through the machine.

use crate::http2::frame::error_code::ErrorCode;
use crate::http2::frame::fault::FrameFault;
use crate::http2::hpack::fault::HpackFault;

/// Declares the budgets with their words.
macro_rules! abuses {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// A budget that the peer has used up.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Abuse {
            $($(#[$doc])* $variant,)*
        }

        impl Abuse {
            /// Every variant, in the order of declaration: for counters and for tables.
            pub const ALL: &'static [Abuse] = &[$(Abuse::$variant,)*];

            /// Stable snake_case word for the log, the counters and the debug data of GOAWAY.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Abuse::$variant => $word,)*
                }
            }
        }
    };
}

abuses! {
    /// Streams that the client has reset soon after it had opened them (CVE-2023-44487).
    RapidResets = "rapid_resets",
    /// Streams beyond those that the client may have.
    RefusedStreams = "refused_streams",
    /// Streams that limpet had to reset for faults of the client (CVE-2025-8671).
    ProvokedResets = "provoked_resets",
    /// SETTINGS.
    Settings = "settings_flood",
    /// PING.
    Pings = "ping_flood",
    /// DATA without content that does not end its stream.
    EmptyData = "empty_data_flood",
    /// DATA with very little content.
    SmallData = "small_data_flood",
    /// WINDOW_UPDATE.
    WindowUpdates = "window_update_flood",
    /// PRIORITY and PRIORITY_UPDATE.
    Priorities = "priority_flood",
    /// Frames that mean nothing: of unknown types, or for streams that have long been closed.
    UnknownFrames = "unknown_frame_flood",
    /// Answers to its frames that the peer does not read.
    UnsentControl = "control_unread",
}

/// An answer that did not come in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Late {
    /// The preface and the first SETTINGS, or the rest of a field block.
    Head,
    /// The acknowledgement of limpet's SETTINGS (RFC 9113 §6.5.3).
    SettingsAck,
    /// The answer to a PING, or anything else instead.
    Ping,
}

/// Why a connection ends in an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    Frame(FrameFault),
    Hpack(HpackFault),
    Abuse(Abuse),
    Late(Late),
}

impl Fault {
    /// The code of the GOAWAY.
    pub fn code(self) -> ErrorCode {
        match self {
            Fault::Frame(fault) => fault.code(),
            Fault::Hpack(fault) => fault.code(),
            Fault::Abuse(_) => ErrorCode::EnhanceYourCalm,
            Fault::Late(Late::SettingsAck) => ErrorCode::SettingsTimeout,
            Fault::Late(Late::Head | Late::Ping) => ErrorCode::NoError,
        }
    }

    /// Stable snake_case word for the log, the counters and the debug data of GOAWAY.
    pub fn word(self) -> &'static str {
        match self {
            Fault::Frame(fault) => fault.word(),
            Fault::Hpack(fault) => hpack_word(fault),
            Fault::Abuse(abuse) => abuse.word(),
            Fault::Late(Late::Head) => "head_late",
            Fault::Late(Late::SettingsAck) => "settings_ack_late",
            Fault::Late(Late::Ping) => "ping_late",
        }
    }
}

fn hpack_word(fault: HpackFault) -> &'static str {
    match fault {
        HpackFault::IndexUnknown => "hpack_index_unknown",
        HpackFault::IntegerTooLarge => "hpack_integer_too_large",
        HpackFault::HuffmanEos => "hpack_huffman_eos",
        HpackFault::HuffmanPadding => "hpack_huffman_padding",
        HpackFault::SizeUpdateLate => "hpack_size_update_late",
        HpackFault::SizeUpdateTooLarge => "hpack_size_update_too_large",
        HpackFault::SizeUpdateMissing => "hpack_size_update_missing",
        HpackFault::Truncated => "hpack_truncated",
        HpackFault::TooLarge => "hpack_too_large",
    }
}

impl From<FrameFault> for Fault {
    fn from(fault: FrameFault) -> Fault {
        Fault::Frame(fault)
    }
}

impl From<HpackFault> for Fault {
    fn from(fault: HpackFault) -> Fault {
        Fault::Hpack(fault)
    }
}

impl From<Abuse> for Fault {
    fn from(abuse: Abuse) -> Fault {
        Fault::Abuse(abuse)
    }
}
