//! What HTTP/2 costs: a head decoded and judged, encoded, the frames around it, and exchanges through the machine.
//!
//! `cargo bench --bench http2`. Input is built once; output goes to buffers that are reused, as on the request path.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use limpet::http::fields::Fields;
use limpet::http::head::{HeadLimits, Mode};
use limpet::http2::flow::Pool;
use limpet::http2::frame::{HEADER_BYTES, Header, PREFACE, Side, parse, write};
use limpet::http2::head;
use limpet::http2::hpack::block::{Block, Limits};
use limpet::http2::hpack::decoder::Decoder;
use limpet::http2::hpack::encoder::{Encoder, Indexing};
use limpet::http2::hpack::huffman;
use limpet::http2::hpack::spare;
use limpet::http2::machine::events::{Event, Key};
use limpet::http2::machine::{Machine, Options};

const LIMITS: HeadLimits = HeadLimits {
    request_line_bytes: 16 * 1024,
    field_line_bytes: 16 * 1024,
    head_bytes: 64 * 1024,
    field_count: 128,
};

const LIST: Limits = Limits { list_bytes: 64 * 1024, field_count: 128, list_bytes_max: 256 * 1024 };

/// The index that refers to nothing: the name is written out.
const NO_NAME: u8 = 0;

/// A browser's request, with the index of each name in the static table.
const BROWSER: [(u8, &str, &str); 17] = [
    (2, ":method", "GET"),
    (1, ":authority", "shop.example.com"),
    (7, ":scheme", "https"),
    (4, ":path", "/account/orders?page=2&sort=date"),
    (
        NO_NAME,
        "sec-ch-ua",
        "\"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\", \"Google Chrome\";v=\"128\"",
    ),
    (NO_NAME, "sec-ch-ua-mobile", "?0"),
    (NO_NAME, "sec-ch-ua-platform", "\"Linux\""),
    (NO_NAME, "upgrade-insecure-requests", "1"),
    (
        58,
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36",
    ),
    (
        19,
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ),
    (NO_NAME, "sec-fetch-site", "same-origin"),
    (NO_NAME, "sec-fetch-mode", "navigate"),
    (NO_NAME, "sec-fetch-dest", "document"),
    (51, "referer", "https://shop.example.com/account"),
    (16, "accept-encoding", "gzip, deflate, br, zstd"),
    (17, "accept-language", "en-GB,en-US;q=0.9,en;q=0.8"),
    (
        32,
        "cookie",
        "PHPSESSID=0123456789abcdef0123456789; limpet_shop=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
    ),
];

const RESPONSE: [(&str, &str); 7] = [
    ("Server", "nginx"),
    ("Date", "Tue, 01 Oct 2024 10:00:00 GMT"),
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Length", "64"),
    ("Vary", "Accept-Encoding"),
    ("X-Powered-By", "PHP/8.3"),
    (
        "Set-Cookie",
        "limpet_shop=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB; Path=/; HttpOnly; SameSite=Lax",
    ),
];

fn text(text: &str, out: &mut Vec<u8>) {
    let coded = huffman::coded_bytes(text.as_bytes());
    assert!(coded < 127, "one byte tells the length");
    out.push(0x80 | coded as u8);
    huffman::encode(text.as_bytes(), out);
}

/// The first request of a connection: what repeats is added to the table, all strings are Huffman-coded.
fn first_request() -> Vec<u8> {
    let mut coded = Vec::new();
    for (name_index, name, value) in BROWSER {
        match name {
            ":method" | ":scheme" => coded.push(0x80 | name_index),
            // Browsers do not index paths.
            ":path" => {
                coded.push(name_index);
                text(value, &mut coded);
            }
            _ => {
                coded.push(0x40 | name_index);
                if name_index == NO_NAME {
                    text(name, &mut coded);
                }
                text(value, &mut coded);
            }
        }
    }
    coded
}

/// A later request of the connection: all but the path refers to the tables.
fn later_request() -> Vec<u8> {
    let mut coded = Vec::new();
    let mut index = 61 + BROWSER.iter().filter(|field| !is_apart(field.1)).count() as u8;
    for (name_index, name, value) in BROWSER {
        match name {
            ":method" | ":scheme" => coded.push(0x80 | name_index),
            ":path" => {
                coded.push(name_index);
                text(value, &mut coded);
            }
            _ => {
                coded.push(0x80 | index);
                index -= 1;
            }
        }
    }
    coded
}

fn is_apart(name: &str) -> bool {
    matches!(name, ":method" | ":scheme" | ":path")
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("h2_head_decode");
    let (first, later) = (first_request(), later_request());
    for (name, coded) in [("browser_get_first", &first), ("browser_get_later", &later)] {
        let mut decoder = Decoder::default();
        let mut block = Block::default();
        decoder.decode(&first, true, &LIST, &mut block).expect("a valid block");
        group.bench_function(name, |b| {
            b.iter(|| {
                block.clear();
                decoder.decode(black_box(coded), true, &LIST, &mut block).expect("a valid block");
                black_box(block.raw().len())
            });
        });
        group.bench_function(format!("{name}_judged"), |b| {
            b.iter(|| {
                block.clear();
                decoder.decode(black_box(coded), true, &LIST, &mut block).expect("a valid block");
                let mut fields = Fields::new();
                let request = head::request(&block, true, &LIMITS, Mode::Strict, &mut fields);
                black_box(request.expect("a valid request").head.fields.len())
            });
        });
    }
    group.finish();
}

fn strings(c: &mut Criterion) {
    let mut group = c.benchmark_group("h2_huffman");
    let agent = BROWSER[8].2.as_bytes();
    let mut coded = Vec::new();
    huffman::encode(agent, &mut coded);
    let mut out = Vec::with_capacity(1024);
    group.throughput(Throughput::Bytes(agent.len() as u64));
    group.bench_function("decode_user_agent", |b| {
        b.iter(|| {
            out.clear();
            huffman::decode(black_box(&coded), &mut out).expect("a valid string");
            black_box(out.len())
        });
    });
    group.bench_function("encode_user_agent", |b| {
        b.iter(|| {
            out.clear();
            huffman::encode(black_box(agent), &mut out);
            black_box(out.len())
        });
    });
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("h2_head_encode");
    let mut encoder = Encoder::default();
    let mut out = Vec::with_capacity(8192);
    group.bench_function("response_7_fields", |b| {
        b.iter(|| {
            out.clear();
            let start = write::begin_headers(&mut out);
            encoder.begin(&mut out);
            encoder.status(200, &mut out);
            for (name, value) in black_box(RESPONSE) {
                encoder.field(name.as_bytes(), value.as_bytes(), Indexing::Allowed, &mut out);
            }
            write::end_headers((start, 16_384), 1, false, &mut out);
            black_box(out.len())
        });
    });
    group.finish();
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("h2_frames");
    let mut input = Vec::new();
    write::data_header(1, 64, true, &mut input);
    input.extend_from_slice(&[b'x'; 64]);
    write::window_update(1, 64, &mut input);
    write::window_update(0, 64, &mut input);
    group.bench_function("data_and_two_updates", |b| {
        b.iter(|| {
            let mut rest = black_box(&input[..]);
            let mut count = 0;
            while let Some((head, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
                let header = Header::read(head);
                header.fits(16_384).expect("a short frame");
                let (payload, after) = after.split_at(header.length as usize);
                black_box(parse(header, payload, Side::Server).expect("a valid frame"));
                (rest, count) = (after, count + 1);
            }
            count
        });
    });
    group.finish();
}

/// A server's machine, and the requests of a round.
struct Connection {
    machine: Machine,
    pool: Pool,
    input: Vec<u8>,
    out: Vec<u8>,
    /// Where the ids of the round stand in `input`.
    ids: Vec<usize>,
    next_id: u32,
}

impl Connection {
    /// Rounds of so many requests with this block.
    fn new(streams: u32, block: &[u8]) -> Connection {
        let mut connection = Connection {
            machine: Machine::new(Options::server(), 0),
            pool: Pool::new(1 << 26),
            input: [&PREFACE[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0], &[0, 0, 0, 4, 1, 0, 0, 0, 0]]
                .concat(),
            out: Vec::with_capacity(64 * 1024),
            ids: Vec::new(),
            next_id: 1,
        };
        // As a client that has opened its window.
        write::window_update(0, 1 << 30, &mut connection.input);
        let start = write::begin_headers(&mut connection.input);
        connection.input.extend_from_slice(&first_request());
        write::end_headers((start, 16_384), 1, true, &mut connection.input);
        connection.round(|_| {});
        connection.input.clear();
        for _ in 0..streams {
            let start = write::begin_headers(&mut connection.input);
            connection.ids.push(start + 5);
            connection.input.extend_from_slice(block);
            write::end_headers((start, 16_384), 1, true, &mut connection.input);
        }
        connection.next_id = 3;
        connection
    }

    /// Receives the round's requests, answers each when its head has come, and sends the answers together.
    fn round(&mut self, judge: impl Fn(&Block)) -> usize {
        for at in &self.ids {
            self.input[*at..at + 4].copy_from_slice(&self.next_id.to_be_bytes());
            self.next_id += 2;
        }
        let mut input = &self.input[..];
        while let Some(event) = self.machine.receive(&mut input, 0) {
            if let Event::Head { stream, block, .. } = event {
                judge(&block);
                answer(&mut self.machine, stream);
                spare::give_back(block);
                self.machine.finish(stream);
            }
        }
        self.out.clear();
        self.machine.transmit(&mut self.out, &mut self.pool);
        self.out.len()
    }
}

fn answer(machine: &mut Machine, stream: Key) {
    let fields = |encoder: &Encoder, out: &mut Vec<u8>| {
        for (name, value) in black_box(RESPONSE) {
            encoder.field(name.as_bytes(), value.as_bytes(), Indexing::Allowed, out);
        }
    };
    machine.respond_with(stream, 200, false, fields).expect("a stream that is open");
    machine.send(stream, black_box(&[b'x'; 64]), true).expect("a stream that is open");
}

fn judge(block: &Block) {
    let mut fields = Fields::new();
    let request = head::request(block, true, &LIMITS, Mode::Strict, &mut fields);
    black_box(request.expect("a valid request").head.fields.len());
}

/// As h2load asks: five fields, of which four are in the tables.
const SHORT: [u8; 5] = [0x82, 0x87, 0x84, 0xbf, 0xbe];

fn machine(c: &mut Criterion) {
    let mut group = c.benchmark_group("h2_machine");
    for streams in [1, 32] {
        group.throughput(Throughput::Elements(u64::from(streams)));
        let mut short = Connection::new(streams, &SHORT);
        group.bench_function(format!("short_get_{streams}"), |b| b.iter(|| short.round(|_| {})));
        let mut browser = Connection::new(streams, &later_request());
        group
            .bench_function(format!("browser_get_{streams}"), |b| b.iter(|| browser.round(|_| {})));
        let mut judged = Connection::new(streams, &later_request());
        group.bench_function(format!("browser_get_judged_{streams}"), |b| {
            b.iter(|| judged.round(judge));
        });
    }
    group.finish();
}

criterion_group!(benches, decode, strings, encode, frames, machine);
criterion_main!(benches);
