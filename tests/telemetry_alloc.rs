//! What a shard does for every request in routing and telemetry, and for every head of HTTP/2, allocates nothing once it
//! runs.
//!
//! Counts the allocations of the test's own thread; the log thread may allocate.
#![allow(unsafe_code, reason = "a counting allocator implements GlobalAlloc")]
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use limpet::http::fields::{Field, FieldId, Fields};
use limpet::http::head::{HeadLimits, Mode, Version};
use limpet::http2::flow::Pool;
use limpet::http2::frame::{PREFACE, write};
use limpet::http2::head;
use limpet::http2::hpack::block::{Block, Limits};
use limpet::http2::hpack::decoder::Decoder;
use limpet::http2::hpack::encoder::{Encoder, Indexing};
use limpet::http2::hpack::spare;
use limpet::http2::machine::events::Event;
use limpet::http2::machine::{Machine, Options};
use limpet::routing::actions::{Action, Forward, PathRewrite};
use limpet::routing::conditions::{Condition, HostPattern, PathPattern, Request};
use limpet::routing::path::{Form, form, normalize};
use limpet::routing::rule::Rule;
use limpet::routing::table::Table;
use limpet::telemetry::access_log::AccessLog;
use limpet::telemetry::counters::Counters;
use limpet::telemetry::options::{AccessLogOptions, LogFormat, LogOutput};
use limpet::telemetry::rare::{ClientCertificate, Rare, Tls};
use limpet::telemetry::reason::Reason;
use limpet::telemetry::record::{Facts, Record, RequestText, RequestTextParts};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_count_sees_an_allocation() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(vec![1_u8]))), 1);
}

/// What some requests have, and others have not.
fn rare() -> Rare<'static> {
    let tls = Tls {
        version: b"TLSv1.3",
        cipher: b"TLS13_AES_256_GCM_SHA384",
        resumed: Some(true),
        server_name: b"shop.example.com",
        client: ClientCertificate { subject: b"CN=till-7", ..ClientCertificate::default() },
    };
    Rare { stream: Some(1), tls: Some(tls), ..Rare::default() }
}

#[test]
fn noting_and_counting_a_request_allocates_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let options = AccessLogOptions {
        output: LogOutput::File(folder.path().join("access.log")),
        format: LogFormat::Json,
        template: None,
        sample: 1,
        query: limpet::telemetry::options::LogQuery::Keep,
        buffer_bytes: 256 * 1024,
    };
    let log = AccessLog::start(&options).expect("log");
    let mut shard = log.shard_writer();
    let counters = Counters::new(1);
    let shard_counters = counters.shard(0).expect("shard");
    let rare = rare();
    let mut text = RequestText::default();
    let mut dropped = 0;
    let mut request = |round: u32| {
        text.fill(&RequestTextParts {
            method: b"GET",
            host: b"shop.example.com",
            path: b"/cart",
            query: Some(b"item=17"),
            user_agent: b"Mozilla/5.0 (X11; Linux x86_64)",
            ..RequestTextParts::default()
        });
        text.set_request_id(b"0123456789abcdef");
        text.set_location(b"https://www.example.com/");
        let facts = Facts {
            status: 200,
            version: Some(Version::Http11),
            sticky: Some(Reason::Valid),
            target_address: Some("127.0.0.1:9001".parse().expect("address")),
            ..Facts::default()
        };
        let [method, host, path, referer, user_agent, request_id, location] = text.texts();
        let record = Record {
            facts,
            listener: "web",
            group: "shop",
            target: "shop-1",
            rule: "checkout",
            code: if round.is_multiple_of(7) { "target_reset" } else { "" },
            method,
            host,
            path,
            referer,
            user_agent,
            request_id,
            location,
            rare: round.is_multiple_of(5).then_some(&rare),
        };
        if !shard.record(&record) {
            dropped += 1;
        }
        shard_counters.request(&record);
        if round.is_multiple_of(100) {
            shard.flush();
        }
    };
    request(0);
    assert_eq!(allocations_of(|| (1..20_000).for_each(&mut request)), 0);
    drop(shard);
    log.shutdown();
    assert_eq!(counters.snapshot().requests(), 20_000);
    assert_eq!(log.handle().lines_written() + dropped, 20_000);
}

#[test]
fn routing_a_request_allocates_nothing() {
    let forward = || {
        Action::Forward(Forward {
            groups: vec![(0, 1)],
            sticky: false,
            rewrite_path: None,
            rewrite_host: None,
        })
    };
    let rules = (0..500).map(|n| Rule {
        name: format!("rule-{n}").into(),
        priority: n,
        conditions: vec![
            Condition::Host(vec![HostPattern::parse(&format!("*.h{n}.example")).expect("host")]),
            Condition::Path(vec![PathPattern::parse(&format!("/p{n}/*/x?")).expect("path")]),
            Condition::header("x-tenant", &["a*z"]).expect("header"),
            Condition::Query(vec![Condition::query_pair(Some("k"), "~v*").expect("query")]),
        ],
        action: forward(),
    });
    let table = Table::compile(rules.collect(), forward());
    let fields = [Field::new(b"X-Tenant", b"A-to-Z", FieldId::Other)];
    let mut path = Vec::with_capacity(256);
    let mut rewritten = Vec::with_capacity(256);
    let rewrite = PathRewrite::StripPrefix("/p499".into());
    let mut route = || {
        let raw = b"//p499/%7ea/./b/../x1";
        assert_eq!(form(raw, true), Form::Other);
        normalize(raw, true, &mut path).expect("normal form");
        rewrite.apply(&path, &mut rewritten);
        let request = Request {
            method: b"GET",
            host: b"WWW.H499.example",
            path: &path,
            query: Some(b"a=1&k=%7Ev2"),
            source: None,
            fields: &fields,
            tls: None,
        };
        assert_eq!(table.find_index(&request), Ok(499));
    };
    route();
    assert_eq!(allocations_of(|| (0..1000).for_each(|_| route())), 0);
}

#[test]
fn a_head_of_http2_is_decoded_judged_and_encoded_in_buffers_that_are_there() {
    const LIMITS: HeadLimits = HeadLimits {
        request_line_bytes: 16 * 1024,
        field_line_bytes: 16 * 1024,
        head_bytes: 64 * 1024,
        field_count: 128,
    };
    const LIST: Limits =
        Limits { list_bytes: 64 * 1024, field_count: 128, list_bytes_max: 256 * 1024 };
    // GET https, an authority and a path to be indexed, a crumb of Cookie with a value of four letters, coded.
    let coded = b"\x82\x87\x41\x01a\x44\x02/x\x60\x83\x1c\x64\x5f\x53\x03*/*\x60\x01b";
    let (mut decoder, mut block, mut out) = (Decoder::default(), Block::default(), Vec::new());
    let mut encoder = Encoder::default();
    let mut pass = || {
        block.clear();
        out.clear();
        // Cut within a representation, whose beginning is kept.
        for (fragment, is_last) in [(&coded[..7], false), (&coded[7..], true)] {
            decoder.decode(fragment, is_last, &LIST, &mut block).expect("a valid block");
        }
        let mut fields = Fields::new();
        let request = head::request(&block, true, &LIMITS, Mode::Strict, &mut fields);
        encoder.begin(&mut out);
        encoder.status(200, &mut out);
        for field in request.expect("a valid request").head.fields {
            encoder.field(field.name, field.value, Indexing::Allowed, &mut out);
        }
    };
    // Until the table is full and entries leave it as others come.
    (0..1_000).for_each(|_| pass());
    assert_eq!(allocations_of(|| (0..1_000).for_each(|_| pass())), 0);
}

/// One round of a server's connection: 32 requests, half of them with content, each answered.
fn round(machine: &mut Machine, pool: &mut Pool, buffers: &mut (Vec<u8>, Vec<u8>), first_id: u32) {
    let (input, out) = buffers;
    input.clear();
    for id in (first_id..).step_by(2).take(32) {
        let has_content = id % 4 == 1;
        let start = write::begin_headers(input);
        input.extend_from_slice(b"\x82\x87\x84\x01\x01a\x60\x01b");
        write::end_headers((start, 16_384), id, !has_content, input);
        if has_content {
            write::data_header(id, 100, true, input);
            input.extend_from_slice(&[b'x'; 100]);
        }
    }
    write::window_update(0, 32 * 64, input);
    let mut rest = &input[..];
    while let Some(event) = machine.receive(&mut rest, 0) {
        let stream = match event {
            Event::Head { stream, block, ends } => {
                spare::give_back(block);
                match ends {
                    true => stream,
                    false => continue,
                }
            }
            Event::Content { stream, bytes, .. } => {
                machine.take(stream, bytes.len());
                stream
            }
            other => panic!("{other:?}"),
        };
        let fields = |encoder: &Encoder, out: &mut Vec<u8>| {
            encoder.field(b"server", b"x", Indexing::Allowed, out);
        };
        machine.respond_with(stream, 200, false, fields).expect("an open stream");
        assert_eq!(machine.send(stream, &[b'y'; 64], true), Ok(64));
        machine.finish(stream);
    }
    assert!(rest.is_empty());
    out.clear();
    machine.transmit(out, pool);
}

#[test]
fn a_steady_stream_of_requests_over_http2_allocates_nothing() {
    let mut machine = Machine::new(Options::server(), 0);
    let mut pool = Pool::new(1 << 26);
    let mut greeting = PREFACE.to_vec();
    write::settings(&[], &mut greeting);
    write::settings_ack(&mut greeting);
    assert!(machine.receive(&mut &greeting[..], 0).is_none());
    let mut buffers = (Vec::with_capacity(65_536), Vec::with_capacity(65_536));
    let mut next_id = 1;
    let mut rounds = |count: u32| {
        for _ in 0..count {
            round(&mut machine, &mut pool, &mut buffers, next_id);
            next_id += 64;
        }
    };
    // Both buffers that change places have grown, and the table is full.
    rounds(200);
    assert_eq!(allocations_of(|| rounds(200)), 0);
}
