//! What a head costs: parsed, judged and rewritten in both directions; and what chunk framing costs.
//!
//! `cargo bench --bench http1`. Input is built once; output goes to a buffer that is reused, as on
//! the request path.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use limpet::http::edits::{ForwardedFor, Replaced, RequestEdits, ResponseEdits, Wire};
use limpet::http::fields::Fields;
use limpet::http::head::{HeadLimits, Method, Mode, Version};
use limpet::http1::chunked::{Decoder, SIZE_LINE_BYTES_MAX, write_end, write_size};
use limpet::http1::framing::ResponseFraming;
use limpet::http1::head::{HeadScan, Parsed, parse_request, parse_response};
use limpet::http1::rewrite::{self, ToClient};

const LIMITS: HeadLimits = HeadLimits {
    request_line_bytes: 16 * 1024,
    field_line_bytes: 16 * 1024,
    head_bytes: 64 * 1024,
    field_count: 128,
};

const SMALL: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: wrk\r\n\
    Accept: */*\r\n\r\n";

const BROWSER: &[u8] = b"GET /account/orders?page=2&sort=date HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\", \"Google Chrome\";v=\"128\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Dest: document\r\n\
    Referer: https://shop.example.com/account\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n\
    Cookie: _ga=GA1.1.1234567890.1700000000; PHPSESSID=0123456789abcdef0123456789; theme=dark; limpet_shop=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ\r\n\r\n";

const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 01 Oct 2024 10:00:00 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\nContent-Length: 64\r\nConnection: keep-alive\r\n\
    Vary: Accept-Encoding\r\nX-Powered-By: PHP/8.3\r\n\r\n";

fn request_edits() -> RequestEdits<'static> {
    RequestEdits {
        wire: Wire::Http1,
        forwarded_for: ForwardedFor::Append,
        forwarded_for_entries: 30,
        peer: b"192.0.2.17",
        peer_trusted: false,
        scheme: b"http",
        front_scheme: b"http",
        front_port: b"8080",
        keep_real_ip: false,
        real_ip: Some(b"192.0.2.17"),
        forwarded: false,
        via: None,
        request_id: Some((b"X-Request-Id", b"0123456789abcdef0123456789abcdef")),
        path: None,
        host: None,
        strip_cookies: &[b"limpet_shop"],
        session_field: Replaced::NONE,
        websocket_key: None,
        upgrade: None,
        max_forwards: None,
    }
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("head_parse");
    for (name, head) in [("small_get", SMALL), ("browser_get_15_fields", BROWSER)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut fields = Fields::new();
                let parsed = parse_request(black_box(head), &LIMITS, Mode::Strict, &mut fields);
                let Ok(Parsed::Complete(head)) = parsed else { panic!("a valid head") };
                black_box((head.content, head.host.len(), head.fields.len()))
            });
        });
    }
    group.bench_function("response_7_fields", |b| {
        b.iter(|| {
            let mut fields = Fields::new();
            let parsed = parse_response(black_box(RESPONSE), &LIMITS, Method::Get, &mut fields);
            let Ok(Parsed::Complete((head, _))) = parsed else { panic!("a valid head") };
            black_box((head.content, head.status, head.fields.len()))
        });
    });
    group.bench_function("scan_browser_get_in_two_segments", |b| {
        b.iter(|| {
            let mut scan = HeadScan::default();
            let first = scan.worth_parsing(black_box(&BROWSER[..500]), &LIMITS);
            black_box((first, scan.worth_parsing(black_box(BROWSER), &LIMITS)))
        });
    });
    group.finish();
}

fn rewritten(c: &mut Criterion) {
    let mut group = c.benchmark_group("head_rewrite");
    let edits = request_edits();
    for (name, head) in [("small_get", SMALL), ("browser_get_15_fields", BROWSER)] {
        let mut fields = Fields::new();
        let parsed = parse_request(head, &LIMITS, Mode::Strict, &mut fields);
        let Ok(Parsed::Complete(head)) = parsed else { panic!("a valid head") };
        let mut out = Vec::with_capacity(8192);
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                rewrite::request(black_box(&head), &edits, &mut out);
                black_box(out.len())
            });
        });
    }
    let mut fields = Fields::new();
    let parsed = parse_response(RESPONSE, &LIMITS, Method::Get, &mut fields);
    let Ok(Parsed::Complete((head, _))) = parsed else { panic!("a valid head") };
    let mut out = Vec::with_capacity(8192);
    let edits = ResponseEdits {
        set_cookies: &[b"limpet_shop=AQEBAQEBAQEBAQEBAQEBAQEBAQEB; Path=/; HttpOnly; SameSite=Lax"],
        session_field: Replaced::NONE,
        protect_cookie: true,
        via: None,
        date: None,
    };
    let to = ToClient {
        version: Version::Http11,
        framing: ResponseFraming::Length(64),
        keep: true,
        upgrade: false,
    };
    group.bench_function("response_7_fields", |b| {
        b.iter(|| {
            out.clear();
            rewrite::response(black_box(&head), &edits, &to, &mut out);
            black_box(out.len())
        });
    });
    group.finish();
}

fn chunks(c: &mut Criterion) {
    let mut group = c.benchmark_group("chunk_scan");
    for chunk_bytes in [64_usize, 4096] {
        let mut message = Vec::new();
        for _ in 0..65_536 / chunk_bytes {
            let mut room = [0; SIZE_LINE_BYTES_MAX];
            let written = write_size(chunk_bytes, &mut room);
            message.extend_from_slice(&room[SIZE_LINE_BYTES_MAX - written..]);
            message.resize(message.len() + chunk_bytes, b'x');
            message.extend_from_slice(b"\r\n");
        }
        write_end(b"", &mut message);
        group.throughput(Throughput::Bytes(65_536));
        group.bench_function(format!("64KiB_in_chunks_of_{chunk_bytes}"), |b| {
            b.iter_batched_ref(
                || message.clone(),
                |buf| Decoder::default().decode_in_place(buf).expect("valid chunks").content,
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(http1, parse, rewritten, chunks);
criterion_main!(http1);
