//! Any bytes as a request head and as a response head: no panic; a cut never turns into an
//! acceptance that the whole does not have; what is rewritten parses again with the same framing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet::http::edits::{ForwardedFor, Replaced, RequestEdits, ResponseEdits, Wire};
use limpet::http::fields::Fields;
use limpet::http::head::{HeadLimits, Method, Mode, Version};
use limpet::http1::head::{HeadScan, Parsed, parse_request, parse_response};
use limpet::http1::rewrite::{self, ToClient};

const LIMITS: HeadLimits = HeadLimits {
    request_line_bytes: 1024,
    field_line_bytes: 1024,
    head_bytes: 4096,
    field_count: 32,
};

/// What the target gets may be longer by our own fields.
const ROOM: HeadLimits = HeadLimits {
    request_line_bytes: 8192,
    field_line_bytes: 8192,
    head_bytes: 65536,
    field_count: 64,
};

/// The first line carries a session id, or none does.
fn session_field(present: bool) -> Replaced<'static> {
    if present { Replaced { at: 0, value: b"id.of-a-session" } } else { Replaced::NONE }
}

fn request_edits(trusted: bool) -> RequestEdits<'static> {
    RequestEdits {
        wire: Wire::Http1,
        forwarded_for: ForwardedFor::Append,
        forwarded_for_entries: 3,
        peer: b"2001:db8::1",
        peer_trusted: trusted,
        scheme: b"https",
        front_scheme: b"https",
        front_port: b"443",
        keep_real_ip: false,
        real_ip: Some(b"2001:db8::1"),
        forwarded: true,
        via: Some(b"limpet"),
        request_id: Some((b"X-Request-Id", b"1")),
        path: None,
        host: None,
        strip_cookies: &[b"limpet"],
        session_field: session_field(trusted),
        websocket_key: None,
        upgrade: trusted.then_some(b"websocket, a/1"),
        max_forwards: trusted.then_some(3),
    }
}

fn request(data: &[u8], mode: Mode) {
    let mut fields = Fields::new();
    match parse_request(data, &LIMITS, mode, &mut fields) {
        Ok(Parsed::Complete(head)) => {
            for trusted in [false, true] {
                let mut out = Vec::new();
                rewrite::request(&head, &request_edits(trusted), &mut out);
                let mut again = Fields::new();
                let parsed = parse_request(&out, &ROOM, Mode::Monitor, &mut again);
                if head.host.is_empty() {
                    continue;
                }
                let Ok(Parsed::Complete(again)) = parsed else {
                    panic!("forwarded as {:?}", String::from_utf8_lossy(&out));
                };
                assert_eq!(again.raw.len(), out.len());
                assert_eq!(again.content, head.content);
                assert_eq!(again.host, head.host);
                assert_eq!(again.target.query, head.target.query);
                assert!(again.target.authority.is_none() && again.version == Version::Http11);
            }
            for end in 0..head.raw.len() {
                let mut cut = Fields::new();
                let parsed = parse_request(&data[..end], &LIMITS, mode, &mut cut);
                assert!(matches!(parsed, Ok(Parsed::Partial)), "cut at {end}");
            }
        }
        Ok(Parsed::Partial) => {
            let mut scan = HeadScan::default();
            assert!(data.is_empty() || !scan.worth_parsing(data, &LIMITS) || data == b"\r");
        }
        Err(refusal) => assert!(refusal.status() >= 400),
    }
}

fn response(data: &[u8], method: Method) {
    let mut fields = Fields::new();
    let Ok(Parsed::Complete((head, on_wire))) = parse_response(data, &LIMITS, method, &mut fields)
    else {
        return;
    };
    let edits = ResponseEdits {
        set_cookies: &[b"limpet=1"],
        session_field: session_field(on_wire.persistent),
        protect_cookie: true,
        via: Some(b"limpet"),
        date: None,
    };
    let to = ToClient {
        version: Version::Http11,
        framing: on_wire.framing,
        keep: on_wire.persistent,
        upgrade: head.status == 101,
    };
    let mut out = Vec::new();
    rewrite::response(&head, &edits, &to, &mut out);
    let mut again = Fields::new();
    let Ok(Parsed::Complete((again, again_on_wire))) =
        parse_response(&out, &ROOM, method, &mut again)
    else {
        panic!("forwarded as {:?}", String::from_utf8_lossy(&out));
    };
    assert_eq!(again.raw.len(), out.len());
    assert_eq!((again_on_wire.framing, again.status), (on_wire.framing, head.status));
}

fuzz_target!(|data: &[u8]| {
    for mode in [Mode::Strict, Mode::Defensive, Mode::Monitor] {
        request(data, mode);
    }
    for method in [Method::Get, Method::Head] {
        response(data, method);
    }
});
