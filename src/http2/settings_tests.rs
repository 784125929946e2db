//! Every setting at its limits, and what limpet announces as its peers read it.

use super::*;
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::frame::{Frame, HEADER_BYTES, Header, parse};

fn payload(values: &[(u16, u32)]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::http2::frame::write::settings(values, &mut out);
    out.split_off(HEADER_BYTES)
}

/// Settings, limpet's side, and the error that the RFC names.
type Row<'r> = (&'r [(u16, u32)], Side, Option<ErrorCode>);

fn applied(values: &[(u16, u32)], side: Side) -> Result<PeerSettings, FrameFault> {
    let mut settings = PeerSettings::default();
    settings.apply(&payload(values), side).map(|_| settings)
}

#[test]
fn forbidden_values_have_the_error_that_the_rfc_names() {
    use ErrorCode::{FlowControlError, ProtocolError};
    use Side::{Client, Server};
    let rows: &[Row<'_>] = &[
        (&[], Server, None),
        (&[(id::ENABLE_PUSH, 0)], Server, None),
        (&[(id::ENABLE_PUSH, 1)], Server, None),
        (&[(id::ENABLE_PUSH, 2)], Server, Some(ProtocolError)),
        (&[(id::ENABLE_PUSH, 0)], Client, None),
        (&[(id::ENABLE_PUSH, 1)], Client, Some(ProtocolError)),
        (&[(id::INITIAL_WINDOW_SIZE, 0)], Server, None),
        (&[(id::INITIAL_WINDOW_SIZE, MAX_31)], Server, None),
        (&[(id::INITIAL_WINDOW_SIZE, MAX_31 + 1)], Server, Some(FlowControlError)),
        (&[(id::MAX_FRAME_SIZE, 16_383)], Server, Some(ProtocolError)),
        (&[(id::MAX_FRAME_SIZE, 16_384)], Server, None),
        (&[(id::MAX_FRAME_SIZE, 16_777_215)], Server, None),
        (&[(id::MAX_FRAME_SIZE, 16_777_216)], Server, Some(ProtocolError)),
        (&[(id::ENABLE_CONNECT_PROTOCOL, 0)], Client, None),
        (&[(id::ENABLE_CONNECT_PROTOCOL, 1)], Client, None),
        (&[(id::ENABLE_CONNECT_PROTOCOL, 2)], Client, Some(ProtocolError)),
        (
            &[(id::ENABLE_CONNECT_PROTOCOL, 1), (id::ENABLE_CONNECT_PROTOCOL, 0)],
            Client,
            Some(ProtocolError),
        ),
        (&[(id::NO_RFC7540_PRIORITIES, 0)], Server, None),
        (&[(id::NO_RFC7540_PRIORITIES, 1)], Server, None),
        (&[(id::NO_RFC7540_PRIORITIES, 2)], Server, Some(ProtocolError)),
        (&[(id::HEADER_TABLE_SIZE, u32::MAX), (0x07, 1), (0xffff, u32::MAX)], Server, None),
        (&[(id::MAX_CONCURRENT_STREAMS, 0), (id::MAX_HEADER_LIST_SIZE, 0)], Server, None),
    ];
    for (values, side, expected) in rows {
        let found = applied(values, *side).err().map(FrameFault::code);
        assert_eq!(found, *expected, "{values:?} {side:?}");
    }
}

#[test]
fn priorities_are_said_once() {
    let no = |value| payload(&[(id::NO_RFC7540_PRIORITIES, value)]);
    for first in [0, 1] {
        let mut settings = PeerSettings::default();
        assert!(settings.apply(&no(first), Side::Server).is_ok());
        assert!(settings.apply(&no(first), Side::Server).is_ok());
        let changed = settings.apply(&no(1 - first), Side::Server);
        assert_eq!(changed, Err(FrameFault::SettingNoPriorities));
    }
    let mut settings = PeerSettings::default();
    assert!(settings.apply(&[], Side::Server).is_ok());
    assert_eq!(settings.apply(&no(1), Side::Server), Err(FrameFault::SettingNoPriorities));
}

#[test]
fn the_last_value_counts_and_the_least_table_is_told() {
    let mut settings = PeerSettings::default();
    let values = [
        (id::HEADER_TABLE_SIZE, 100),
        (id::INITIAL_WINDOW_SIZE, 1),
        (id::HEADER_TABLE_SIZE, 8192),
        (id::INITIAL_WINDOW_SIZE, 70_000),
        (id::MAX_CONCURRENT_STREAMS, 5),
    ];
    let changes = settings.apply(&payload(&values), Side::Client).expect("valid settings");
    assert_eq!(changes.window_delta, 70_000 - 65_535);
    assert_eq!(changes.header_table_bytes_least, Some(100));
    assert_eq!((settings.header_table_bytes, settings.max_concurrent_streams), (8192, 5));
    let changes = settings.apply(&payload(&[(id::INITIAL_WINDOW_SIZE, 0)]), Side::Client);
    let expected = Changes { window_delta: -70_000, header_table_bytes_least: None };
    assert_eq!(changes, Ok(expected));
}

#[test]
fn what_is_announced_is_what_the_peer_reads() {
    let own = OwnSettings { header_table_bytes: 0, frame_bytes: 20_000, ..OwnSettings::default() };
    for (side, peer) in [(Side::Server, Side::Client), (Side::Client, Side::Server)] {
        let mut out = Vec::new();
        own.write(side, &mut out);
        let header = Header::read(out.first_chunk().expect("a header"));
        let Ok(Frame::Settings(payload)) = parse(header, &out[HEADER_BYTES..], peer) else {
            panic!("{out:?}");
        };
        let mut read = PeerSettings::default();
        read.apply(payload, peer).expect("valid settings");
        assert_eq!(read.header_table_bytes, 0);
        assert_eq!(read.frame_bytes, 20_000);
        assert_eq!(read.initial_window_bytes, 65_536);
        assert_eq!(read.header_list_bytes, 65_536);
        assert_eq!(read.no_priorities, Some(true));
        let is_server = side == Side::Server;
        assert_eq!(read.enable_connect_protocol, is_server);
        assert_eq!(read.max_concurrent_streams, if is_server { 128 } else { u32::MAX });
    }
}
