//! Error codes (RFC 9113 §7).

use std::fmt;

/// Declares the codes with their numbers and names.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal,)*) => {
        /// Why a stream or a connection ends (RFC 9113 §7).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant = $number,)*
        }

        impl ErrorCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// The code that a peer has sent; one that is not registered means nothing special, as INTERNAL_ERROR
            /// (RFC 9113 §7).
            pub const fn of(number: u32) -> ErrorCode {
                match number {
                    $($number => ErrorCode::$variant,)*
                    _ => ErrorCode::InternalError,
                }
            }

            /// Its name in the registry.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $name,)*
                }
            }
        }
    };
}

codes! {
    NoError = 0x00 "NO_ERROR",
    ProtocolError = 0x01 "PROTOCOL_ERROR",
    InternalError = 0x02 "INTERNAL_ERROR",
    FlowControlError = 0x03 "FLOW_CONTROL_ERROR",
    SettingsTimeout = 0x04 "SETTINGS_TIMEOUT",
    StreamClosed = 0x05 "STREAM_CLOSED",
    FrameSizeError = 0x06 "FRAME_SIZE_ERROR",
    /// Nothing of the request was processed: it may be sent again (RFC 9113 §8.7).
    RefusedStream = 0x07 "REFUSED_STREAM",
    Cancel = 0x08 "CANCEL",
    CompressionError = 0x09 "COMPRESSION_ERROR",
    ConnectError = 0x0a "CONNECT_ERROR",
    EnhanceYourCalm = 0x0b "ENHANCE_YOUR_CALM",
    InadequateSecurity = 0x0c "INADEQUATE_SECURITY",
    Http11Required = 0x0d "HTTP_1_1_REQUIRED",
}

impl ErrorCode {
    pub const fn number(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use crate::http2::frame::error_code::ErrorCode;

    #[test]
    fn codes_have_the_numbers_and_names_of_the_registry() {
        for (at, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(code.number() as usize, at);
            assert_eq!(ErrorCode::of(code.number()), *code);
            assert_eq!(code.to_string(), code.name());
        }
        assert_eq!(ErrorCode::ALL.len(), 14);
        assert_eq!(ErrorCode::of(14), ErrorCode::InternalError);
        assert_eq!(ErrorCode::of(u32::MAX), ErrorCode::InternalError);
        assert_eq!(ErrorCode::EnhanceYourCalm.to_string(), "ENHANCE_YOUR_CALM");
    }
}
