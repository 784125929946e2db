//! Why a frame is refused: one variant per rule, each with the code that the RFC names for it and with what ends.

use super::error_code::ErrorCode;

/// What an error ends (RFC 9113 §5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// GOAWAY, and the connection.
    Connection,
    /// RST_STREAM; the connection goes on.
    Stream,
}

/// Declares the faults with their scopes, codes and words.
macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident = $scope:ident $code:ident $word:literal,)*) => {
        /// The rule that a frame breaks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FrameFault {
            $($(#[$doc])* $variant,)*
        }

        impl FrameFault {
            /// Every variant, in the order of declaration: for counters and for tables.
            pub const ALL: &'static [FrameFault] = &[$(FrameFault::$variant,)*];

            pub const fn scope(self) -> Scope {
                match self {
                    $(FrameFault::$variant => Scope::$scope,)*
                }
            }

            pub const fn code(self) -> ErrorCode {
                match self {
                    $(FrameFault::$variant => ErrorCode::$code,)*
                }
            }

            /// Stable snake_case word for the log and the counters.
            pub const fn word(self) -> &'static str {
                match self {
                    $(FrameFault::$variant => $word,)*
                }
            }
        }
    };
}

faults! {
    /// Longer than SETTINGS_MAX_FRAME_SIZE (RFC 9113 §4.2).
    TooLong = Connection FrameSizeError "frame_too_long",
    /// Too short for its fixed part, or not of its fixed length (RFC 9113 §4.2 and the type's section in §6).
    Length = Connection FrameSizeError "frame_length",
    /// PRIORITY of another length than five (RFC 9113 §6.3).
    PriorityLength = Stream FrameSizeError "priority_length",
    /// More padding than payload (RFC 9113 §6.1, §6.2).
    Padding = Connection ProtocolError "padding",
    /// On the connection, although its type belongs to a stream (RFC 9113 §6.1 to §6.4, §6.10).
    StreamZero = Connection ProtocolError "stream_zero",
    /// On a stream, although its type belongs to the connection (RFC 9113 §6.5, §6.7, §6.8, RFC 9218 §7.1).
    StreamNotZero = Connection ProtocolError "stream_not_zero",
    /// A stream that depends on itself (RFC 7540 §5.3.1).
    DependsOnItself = Stream ProtocolError "depends_on_itself",
    /// PUSH_PROMISE, which no peer of limpet may send (RFC 9113 §6.6, §8.4).
    Push = Connection ProtocolError "push_promise",
    /// WINDOW_UPDATE of nothing, on a stream (RFC 9113 §6.9).
    StreamIncrementZero = Stream ProtocolError "stream_increment_zero",
    /// WINDOW_UPDATE of nothing, on the connection (RFC 9113 §6.9).
    ConnectionIncrementZero = Connection ProtocolError "connection_increment_zero",
    /// PRIORITY_UPDATE from a server (RFC 9218 §7.1).
    PriorityUpdateFromServer = Connection ProtocolError "priority_update_from_server",
    /// PRIORITY_UPDATE for stream 0 (RFC 9218 §7.1).
    PrioritizedStreamZero = Connection ProtocolError "prioritized_stream_zero",
    /// The first frame is not SETTINGS (RFC 9113 §3.4).
    SettingsMissing = Connection ProtocolError "settings_missing",
    /// Another frame before the end of a field block, or another stream's (RFC 9113 §4.3, §6.2, §6.10).
    BlockInterrupted = Connection ProtocolError "field_block_interrupted",
    /// CONTINUATION without a field block to continue (RFC 9113 §6.10).
    ContinuationAlone = Connection ProtocolError "continuation_alone",
    /// A field block in more frames than limpet takes.
    TooManyContinuations = Connection EnhanceYourCalm "too_many_continuations",
    /// A field block of more coded bytes than limpet takes.
    BlockTooLong = Connection EnhanceYourCalm "field_block_too_long",
    /// An empty CONTINUATION that does not end its block.
    ContinuationEmpty = Connection EnhanceYourCalm "continuation_empty",
    /// ENABLE_PUSH other than 0 and 1, or 1 from a server (RFC 9113 §6.5.2).
    SettingEnablePush = Connection ProtocolError "setting_enable_push",
    /// INITIAL_WINDOW_SIZE beyond 2^31 − 1 (RFC 9113 §6.5.2).
    SettingInitialWindow = Connection FlowControlError "setting_initial_window",
    /// MAX_FRAME_SIZE outside 2^14 to 2^24 − 1 (RFC 9113 §6.5.2).
    SettingMaxFrameSize = Connection ProtocolError "setting_max_frame_size",
    /// ENABLE_CONNECT_PROTOCOL other than 0 and 1, or 0 after 1 (RFC 8441 §3).
    SettingEnableConnect = Connection ProtocolError "setting_enable_connect",
    /// NO_RFC7540_PRIORITIES other than 0 and 1, or changed after the first SETTINGS (RFC 9218 §2.1).
    SettingNoPriorities = Connection ProtocolError "setting_no_priorities",
    /// More DATA than the window of the stream allows (RFC 9113 §6.9).
    StreamWindowExceeded = Stream FlowControlError "stream_window_exceeded",
    /// More DATA than the window of the connection allows (RFC 9113 §6.9).
    ConnectionWindowExceeded = Connection FlowControlError "connection_window_exceeded",
    /// WINDOW_UPDATE that makes the window of a stream larger than 2^31 − 1 (RFC 9113 §6.9.1).
    StreamWindowOverflow = Stream FlowControlError "stream_window_overflow",
    /// WINDOW_UPDATE that makes the window of the connection larger than 2^31 − 1 (RFC 9113 §6.9.1).
    ConnectionWindowOverflow = Connection FlowControlError "connection_window_overflow",
    /// INITIAL_WINDOW_SIZE that makes the window of a stream larger than 2^31 − 1 (RFC 9113 §6.9.2).
    InitialWindowOverflow = Connection FlowControlError "initial_window_overflow",
    /// The bytes that open a client's side are others (RFC 9113 §3.4).
    Preface = Connection ProtocolError "preface",
    /// A frame for a stream that nobody has opened (RFC 9113 §5.1).
    StreamIdle = Connection ProtocolError "stream_idle",
    /// A stream with an id that belongs to limpet's side (RFC 9113 §5.1.1).
    StreamNotPeers = Connection ProtocolError "stream_not_peers",
    /// A new stream whose id is lower than that of an earlier one (RFC 9113 §5.1.1).
    StreamIdNotNew = Connection ProtocolError "stream_id_not_new",
    /// DATA or HEADERS behind END_STREAM, while limpet still sends (RFC 9113 §5.1).
    StreamHalfClosed = Stream StreamClosed "stream_half_closed",
    /// DATA or HEADERS on a stream that the peer has reset (RFC 9113 §5.1).
    StreamWasReset = Stream StreamClosed "stream_was_reset",
    /// DATA or HEADERS on a stream that both sides have ended (RFC 9113 §5.1).
    StreamClosed = Connection StreamClosed "stream_closed",
}

#[cfg(test)]
mod tests {
    use crate::http2::frame::fault::FrameFault;

    #[test]
    fn words_are_snake_case_and_unique() {
        let mut words: Vec<&str> = FrameFault::ALL.iter().map(|fault| fault.word()).collect();
        for word in &words {
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{word}");
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), FrameFault::ALL.len());
    }
}
