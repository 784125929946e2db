//! SETTINGS (RFC 9113 §6.5, RFC 8441 §3, RFC 9218 §2.1): what the peer has set, and what limpet announces.
//!
//! A value that the RFC forbids never gets in. Tested by a table with every setting at its limits.

use super::frame::fault::FrameFault;
use super::frame::{MAX_31, Side};

/// Identifiers of the registry.
pub mod id {
    pub const HEADER_TABLE_SIZE: u16 = 0x01;
    pub const ENABLE_PUSH: u16 = 0x02;
    pub const MAX_CONCURRENT_STREAMS: u16 = 0x03;
    pub const INITIAL_WINDOW_SIZE: u16 = 0x04;
    pub const MAX_FRAME_SIZE: u16 = 0x05;
    pub const MAX_HEADER_LIST_SIZE: u16 = 0x06;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 0x08;
    pub const NO_RFC7540_PRIORITIES: u16 = 0x09;
}

/// Windows before anyone has set them, in bytes (RFC 9113 §6.9.2).
pub const WINDOW_DEFAULT: u32 = 65_535;
/// The least and the default, and the greatest SETTINGS_MAX_FRAME_SIZE, in bytes (RFC 9113 §6.5.2).
pub const FRAME_BYTES_MIN: u32 = 1 << 14;
pub const FRAME_BYTES_MAX: u32 = (1 << 24) - 1;

/// The peer's settings, at first the defaults of RFC 9113 §6.5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerSettings {
    pub header_table_bytes: u32,
    /// Streams that limpet may have open at a time.
    pub max_concurrent_streams: u32,
    /// At most 2^31 − 1.
    pub initial_window_bytes: u32,
    /// From 2^14 to 2^24 − 1.
    pub frame_bytes: u32,
    pub header_list_bytes: u32,
    pub enable_connect_protocol: bool,
    /// `None` until the first SETTINGS have said it.
    no_priorities: Option<bool>,
}

impl Default for PeerSettings {
    fn default() -> PeerSettings {
        PeerSettings {
            header_table_bytes: super::hpack::decoder::SIZE_DEFAULT,
            max_concurrent_streams: u32::MAX,
            initial_window_bytes: WINDOW_DEFAULT,
            frame_bytes: FRAME_BYTES_MIN,
            header_list_bytes: u32::MAX,
            enable_connect_protocol: false,
            no_priorities: None,
        }
    }
}

/// The consequences of one SETTINGS frame beside the values themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// To be added to the window of every stream (RFC 9113 §6.9.2), in bytes.
    pub window_delta: i64,
    /// The least HEADER_TABLE_SIZE in the frame, which the encoder has to confirm (RFC 7541 §4.2).
    pub header_table_bytes_least: Option<u32>,
}

impl PeerSettings {
    /// Takes in a SETTINGS payload of whole settings, in their order; `side` is limpet's.
    ///
    /// # Errors
    /// When a value is forbidden; those before it have been taken in.
    pub fn apply(&mut self, payload: &[u8], side: Side) -> Result<Changes, FrameFault> {
        let window_before = self.initial_window_bytes;
        let mut header_table_bytes_least = None;
        for [a, b, value @ ..] in payload.as_chunks::<6>().0 {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*a, *b]) {
                id::HEADER_TABLE_SIZE => {
                    self.header_table_bytes = value;
                    header_table_bytes_least =
                        Some(header_table_bytes_least.map_or(value, |least: u32| least.min(value)));
                }
                // A client may allow pushes, which limpet never makes.
                id::ENABLE_PUSH if value == 0 || (value == 1 && side == Side::Server) => {}
                id::ENABLE_PUSH => return Err(FrameFault::SettingEnablePush),
                id::MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = value,
                id::INITIAL_WINDOW_SIZE if value <= MAX_31 => self.initial_window_bytes = value,
                id::INITIAL_WINDOW_SIZE => return Err(FrameFault::SettingInitialWindow),
                id::MAX_FRAME_SIZE if (FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&value) => {
                    self.frame_bytes = value;
                }
                id::MAX_FRAME_SIZE => return Err(FrameFault::SettingMaxFrameSize),
                id::MAX_HEADER_LIST_SIZE => self.header_list_bytes = value,
                id::ENABLE_CONNECT_PROTOCOL => self.set_enable_connect_protocol(value)?,
                id::NO_RFC7540_PRIORITIES => self.set_no_priorities(value)?,
                // RFC 9113 §6.5.2: unknown settings are ignored.
                _ => {}
            }
        }
        // RFC 9218 §2.1: a peer that does not send it in its first SETTINGS has set it to 0.
        self.no_priorities.get_or_insert(false);
        let window_delta = i64::from(self.initial_window_bytes) - i64::from(window_before);
        Ok(Changes { window_delta, header_table_bytes_least })
    }

    /// RFC 8441 §3: 0 or 1, and never 0 after 1.
    fn set_enable_connect_protocol(&mut self, value: u32) -> Result<(), FrameFault> {
        match (value, self.enable_connect_protocol) {
            (0, false) => Ok(()),
            (1, _) => {
                self.enable_connect_protocol = true;
                Ok(())
            }
            (0, true) | (2.., _) => Err(FrameFault::SettingEnableConnect),
        }
    }

    /// RFC 9218 §2.1: 0 or 1, and never another value than in the first SETTINGS.
    fn set_no_priorities(&mut self, value: u32) -> Result<(), FrameFault> {
        let said = match value {
            0 => false,
            1 => true,
            2.. => return Err(FrameFault::SettingNoPriorities),
        };
        match self.no_priorities.replace(said) {
            Some(before) if before != said => Err(FrameFault::SettingNoPriorities),
            _ => Ok(()),
        }
    }
}

/// limpet's own settings, which hold once the peer has acknowledged them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnSettings {
    /// At most [`super::hpack::decoder::SIZE_MAX`].
    pub header_table_bytes: u32,
    /// Streams that a client may have open at a time.
    pub max_concurrent_streams: u32,
    /// At most 2^31 − 1.
    pub initial_window_bytes: u32,
    pub frame_bytes: u32,
    pub header_list_bytes: u32,
    /// Whether clients may ask for tunnels (RFC 8441).
    pub enable_connect_protocol: bool,
}

impl Default for OwnSettings {
    fn default() -> OwnSettings {
        OwnSettings {
            header_table_bytes: super::hpack::decoder::SIZE_DEFAULT,
            max_concurrent_streams: 128,
            initial_window_bytes: 1 << 16,
            frame_bytes: FRAME_BYTES_MIN,
            header_list_bytes: 1 << 16,
            enable_connect_protocol: true,
        }
    }
}

impl OwnSettings {
    /// Appends the first SETTINGS of a connection, without what is the default anyway. Clients may ask for tunnels
    /// (RFC 8441); targets may not push.
    pub fn write(&self, side: Side, out: &mut Vec<u8>) {
        let pushes_or_streams = match side {
            Side::Server => (id::MAX_CONCURRENT_STREAMS, self.max_concurrent_streams),
            Side::Client => (id::ENABLE_PUSH, 0),
        };
        let mut values = arrayvec::ArrayVec::<(u16, u32), 7>::new();
        values.push(pushes_or_streams);
        values.push((id::INITIAL_WINDOW_SIZE, self.initial_window_bytes));
        values.push((id::MAX_HEADER_LIST_SIZE, self.header_list_bytes));
        values.push((id::NO_RFC7540_PRIORITIES, 1));
        if side == Side::Server && self.enable_connect_protocol {
            values.push((id::ENABLE_CONNECT_PROTOCOL, 1));
        }
        if self.header_table_bytes != super::hpack::decoder::SIZE_DEFAULT {
            values.push((id::HEADER_TABLE_SIZE, self.header_table_bytes));
        }
        if self.frame_bytes != FRAME_BYTES_MIN {
            values.push((id::MAX_FRAME_SIZE, self.frame_bytes));
        }
        super::frame::write::settings(&values, out);
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
