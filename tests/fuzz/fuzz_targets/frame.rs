//! Any bytes as frames in either direction: no panic; what is split lies within its payload; SETTINGS that are taken in
//! hold the limits of the RFC; windows that are granted are never exceeded without an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet::http2::flow::SendWindow;
use limpet::http2::frame::order::Order;
use limpet::http2::frame::{Frame, HEADER_BYTES, Header, MAX_31, Side, parse};
use limpet::http2::priority::Priority;
use limpet::http2::settings::{FRAME_BYTES_MAX, FRAME_BYTES_MIN, PeerSettings};

const FRAME_BYTES: u32 = 256;

/// Reads frames until one breaks a rule or the input ends.
fn read(data: &[u8], side: Side) {
    let (mut order, mut settings) = (Order::default(), PeerSettings::default());
    let mut window = SendWindow::new(settings.initial_window_bytes);
    let mut rest = data;
    while let Some((head, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::read(head);
        assert_eq!(Header::read(&header.bytes()), header);
        if header.fits(FRAME_BYTES).is_err() || order.follow(header).is_err() {
            return;
        }
        let Some((payload, after)) = after.split_at_checked(header.length as usize) else { return };
        rest = after;
        let frame = match parse(header, payload, side) {
            Ok(frame) => frame,
            Err(fault) => {
                assert!(!fault.word().is_empty() && fault.code().number() > 0);
                continue;
            }
        };
        match frame {
            Frame::Data { content, flow_bytes, .. } => {
                assert!(content.len() <= payload.len() && flow_bytes == header.length);
            }
            Frame::Headers { fragment, end_headers, .. } => {
                assert!(fragment.len() <= payload.len() && end_headers != order.is_in_block());
            }
            Frame::Settings(payload) => {
                let Ok(changes) = settings.apply(payload, side) else { return };
                assert!(settings.initial_window_bytes <= MAX_31);
                assert!((FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&settings.frame_bytes));
                if window.shift(changes.window_delta).is_err() {
                    return;
                }
            }
            Frame::WindowUpdate { increment } => {
                assert!((1..=MAX_31).contains(&increment));
                let before = window.open();
                match window.grow(increment) {
                    Ok(()) => assert!(window.open() >= before && window.open() <= MAX_31),
                    Err(_) => assert_eq!(window.open(), before),
                }
                window.send(window.open() / 2);
            }
            Frame::PriorityUpdate { stream, value } => {
                assert!((1..=MAX_31).contains(&stream));
                assert!(Priority::parse(value).urgency <= 7);
            }
            Frame::Priority
            | Frame::RstStream { .. }
            | Frame::SettingsAck
            | Frame::Ping { .. }
            | Frame::Goaway { .. }
            | Frame::Continuation { .. }
            | Frame::Unknown => {}
        }
    }
}

fuzz_target!(|data: &[u8]| {
    read(data, Side::Server);
    read(data, Side::Client);
});
