//! Records written into a batch are read back unchanged, clipped to their limits.
use super::batch::Logged;
use super::ended::{By, Cause, Ended, Phase};
use super::record::*;
use crate::http::head::Version;
use crate::telemetry::batch::{RECORD_BYTES_MAX, RecordBuffer};
use crate::telemetry::rare::tests::FULL;
use crate::telemetry::rare::{CERTIFICATE_BYTES_MAX, ClientCertificate, Rare, Tls};
use crate::telemetry::reason::Reason;

/// A record in which every field differs from its default.
pub fn full() -> Record<'static> {
    Record {
        facts: full_facts(),
        listener: "web",
        group: "shop",
        target: "shop-1",
        rule: "checkout",
        code: "target_reset",
        method: b"POST",
        host: b"shop.example.com",
        path: b"/cart?item=1",
        referer: b"https://shop.example.com/",
        user_agent: b"curl/8",
        request_id: b"abc-123",
        location: b"https://www.example.com/new?item=1",
        rare: None,
    }
}

/// The same record with other facts.
pub fn full_with(facts: Facts) -> Record<'static> {
    Record { facts, ..full() }
}

pub fn full_facts() -> Facts {
    Facts {
        time_unix_ms: 1_763_829_000_123,
        client: Some("203.0.113.9".parse().expect("address")),
        client_port: 50_123,
        peer: Some("2001:db8::7".parse().expect("address")),
        encrypted: true,
        listener_port: 8443,
        version: Some(Version::Http11),
        status: 200,
        target_status: 201,
        bytes_in: 321,
        bytes_out: 4567,
        content_bytes_in: 12,
        content_bytes_out: 4321,
        timings: Timings {
            request_us: 15,
            queue_us: Some(7),
            connect_us: Some(230),
            first_byte_us: Some(1200),
            total_us: 1456,
        },
        retries: 1,
        target_reused: Some(true),
        sticky: Some(Reason::Valid),
        rule_priority: Some(10),
        action: Some(Acted::Forward),
        target_address: Some("192.0.2.7:9001".parse().expect("address")),
        upgraded: true,
        ended: Ended::new(By::Target, Phase::ResponseContent, Cause::Reset),
    }
}

/// The record that the shard pushed, made from one in a batch.
fn unlogged<'a>(logged: &Logged<'a>) -> Record<'a> {
    let name = |name| std::str::from_utf8(name).expect("UTF-8");
    Record {
        facts: **logged,
        listener: name(logged.listener),
        group: name(logged.group),
        target: name(logged.target),
        rule: name(logged.rule),
        code: name(logged.code),
        method: logged.method,
        host: logged.host,
        path: logged.path,
        referer: logged.referer,
        user_agent: logged.user_agent,
        request_id: logged.request_id,
        location: logged.location,
        // Compared by another test: `rare_facts_come_back_beside_records_without`.
        rare: None,
    }
}

fn read(buffer: &RecordBuffer) -> Vec<Record<'_>> {
    buffer.records().map(|logged| unlogged(&logged)).collect()
}

#[test]
fn records_come_back_as_they_were_pushed() {
    let mut buffer = RecordBuffer::new(64 * 1024);
    let bare = Record::default();
    let facts = Facts {
        version: Some(Version::Http10),
        target_reused: Some(false),
        client: Some("::1".parse().expect("address")),
        target_address: Some("[2001:db8::1]:65535".parse().expect("address")),
        rule_priority: Some(DEFAULT_PRIORITY),
        ..full_facts()
    };
    let other = Record { facts, path: b"\xff\0\n", ..full() };
    for record in [full(), bare, other] {
        assert!(buffer.push(&record));
    }
    assert_eq!(buffer.len(), 3);
    assert_eq!(read(&buffer), [full(), bare, other]);
    buffer.clear();
    assert!(buffer.is_empty());
    assert_eq!(read(&buffer), []);
}

#[test]
fn rare_facts_come_back_beside_records_without() {
    let stream = Rare { stream: Some(1), ..Rare::default() };
    let mut buffer = RecordBuffer::new(64 * 1024);
    buffer.carry_certificates(true);
    for rare in [None, Some(&FULL), None, Some(&stream), Some(&FULL)] {
        assert!(buffer.push(&Record { rare, ..full() }));
    }
    let found: Vec<_> = buffer.records().map(|logged| logged.rare()).collect();
    assert_eq!(found, [None, Some(FULL), None, Some(stream), Some(FULL)]);
    assert_eq!(read(&buffer), [full(); 5]);
}

#[test]
fn a_record_without_rare_facts_takes_no_room_for_them() {
    let used_with = |rare, carries| {
        let mut buffer = RecordBuffer::new(64 * 1024);
        buffer.carry_certificates(carries);
        assert!(buffer.push(&Record { rare, ..full() }));
        buffer.texts_bytes()
    };
    let used = |rare| used_with(rare, true);
    assert_eq!(used(Some(&FULL)), used(None) + FULL.bytes());
    let certificate = FULL.bytes() - FULL.without_certificate().bytes();
    assert_eq!(used_with(Some(&FULL), false), used(Some(&FULL)) - certificate);
}

#[test]
fn every_reason_and_termination_survives_the_batch() {
    let mut buffer = RecordBuffer::new(1024 * 1024);
    let ended = |ended| full_with(Facts { ended, ..full_facts() });
    let records: Vec<_> = Reason::ALL
        .iter()
        .map(|&sticky| Record::from(Facts { sticky: Some(sticky), ..Facts::default() }))
        .chain(By::ALL.map(|by| ended(Ended { by, ..Ended::NORMAL })))
        .chain(Phase::ALL.map(|phase| ended(Ended { phase, ..Ended::NORMAL })))
        .chain(Cause::ALL.map(|cause| ended(Ended { cause, ..Ended::NORMAL })))
        .chain(Acted::ALL.map(|action| full_with(Facts { action: Some(action), ..full_facts() })))
        .collect();
    assert!(records.iter().all(|record| buffer.push(record)));
    assert_eq!(read(&buffer), records);
}

#[test]
fn reasons_stand_at_their_position_with_the_words_of_the_table() {
    for (at, &reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(usize::from(reason_position(reason)), at);
    }
    let snake = |reason: Reason| {
        let mut word = String::new();
        for letter in format!("{reason:?}").chars() {
            if letter.is_ascii_uppercase() && !word.is_empty() {
                word.push('_');
            }
            word.push(letter.to_ascii_lowercase());
        }
        word
    };
    assert!(Reason::ALL.iter().all(|&reason| reason.code() == snake(reason)));
}

#[test]
fn texts_are_cut_at_their_limits_and_names_at_a_character() {
    let long = "x".repeat(70_000);
    let name = format!("{}é", "n".repeat(NAME_BYTES_MAX - 1));
    let bytes = long.as_bytes();
    let client = ClientCertificate {
        subject: bytes,
        issuer: bytes,
        names: bytes,
        serial: bytes,
        fingerprint: bytes,
        whole: &bytes[..CERTIFICATE_BYTES_MAX],
    };
    let tls = FULL.tls.map(|tls| Tls { cipher: bytes, server_name: bytes, client, ..tls });
    let rare = Rare { tls, ..FULL };
    let record = Record {
        listener: &name,
        group: &long,
        target: &long,
        rule: &long,
        code: &long,
        method: bytes,
        host: bytes,
        path: bytes,
        referer: bytes,
        user_agent: bytes,
        request_id: bytes,
        location: bytes,
        rare: Some(&rare),
        ..full()
    };
    // The largest record fits the smallest batch exactly, except for the character that was cut.
    let mut buffer = RecordBuffer::new(0);
    buffer.carry_certificates(true);
    assert!(buffer.push(&record));
    assert!(!buffer.push(&Record::default()));
    let read = read(&buffer)[0];
    assert_eq!(read.listener, "n".repeat(NAME_BYTES_MAX - 1));
    assert_eq!(read.group.len(), NAME_BYTES_MAX);
    assert_eq!(read.code.len(), CODE_BYTES_MAX);
    assert_eq!(read.method.len(), METHOD_BYTES_MAX);
    assert_eq!(read.host.len(), HOST_BYTES_MAX);
    assert_eq!(read.path.len(), PATH_BYTES_MAX);
    assert_eq!(read.referer.len(), REFERER_BYTES_MAX);
    assert_eq!(read.user_agent.len(), USER_AGENT_BYTES_MAX);
    assert_eq!(read.request_id.len(), REQUEST_ID_BYTES_MAX);
    assert_eq!(read.location.len(), LOCATION_BYTES_MAX);
}

#[test]
fn a_batch_takes_what_fits_and_keeps_it() {
    let mut buffer = RecordBuffer::new(RECORD_BYTES_MAX);
    let mut pushed = 0;
    while buffer.push(&full()) {
        pushed += 1;
    }
    assert!(pushed > 1);
    assert_eq!(read(&buffer), vec![full(); pushed]);
}

#[test]
fn a_batch_is_full_by_the_bytes_of_its_texts_too() {
    let path = [b'p'; PATH_BYTES_MAX];
    let record = Record { path: &path, ..full() };
    // Room for many records without texts.
    let mut buffer = RecordBuffer::new(4 * RECORD_BYTES_MAX);
    let mut pushed = 0;
    while buffer.push(&record) {
        pushed += 1;
    }
    assert!((2..12).contains(&pushed), "{pushed}");
    assert!(buffer.push(&Record::default()), "no text needs no room");
    assert_eq!(read(&buffer)[..pushed], vec![record; pushed]);
}

#[test]
fn request_texts_are_kept_and_cut() {
    let mut text = RequestText::default();
    let long = vec![b'p'; 3000];
    for _ in 0..2 {
        text.fill(&RequestTextParts {
            method: b"GET",
            host: b"a.example",
            path: b"/x",
            query: Some(b"y=1"),
            referer: b"r",
            user_agent: b"u",
            request_id: b"old",
        });
        text.set_location(b"/gone");
        text.set_request_id(b"newer");
        assert_eq!(text.texts()[6], b"");
        text.set_location(b"/a");
        text.set_location(b"/there");
    }
    let [method, host, path, referer, user_agent, request_id, location] = text.texts();
    assert_eq!((method, host, path), (&b"GET"[..], &b"a.example"[..], &b"/x?y=1"[..]));
    assert_eq!((referer, user_agent), (&b"r"[..], &b"u"[..]));
    assert_eq!((request_id, location), (&b"newer"[..], &b"/there"[..]));
    text.fill(&RequestTextParts { path: b"/", query: Some(&long), ..RequestTextParts::default() });
    assert_eq!(text.texts()[2].len(), PATH_BYTES_MAX);
    text.clear(64);
    assert_eq!(text.texts(), [b""; 7]);
}

#[test]
fn failures_are_server_errors_silence_and_what_somebody_cut_off() {
    let record = |status, by, phase, cause| {
        let ended = Ended::new(by, phase, cause);
        Record::from(Facts { status, ended, ..Facts::default() })
    };
    for (record, is_failure) in [
        (record(200, By::Nobody, Phase::Done, Cause::None), false),
        (record(404, By::Nobody, Phase::Done, Cause::None), false),
        (record(301, By::Limpet, Phase::Done, Cause::Rule), false),
        (record(500, By::Nobody, Phase::Done, Cause::None), true),
        (record(503, By::Limpet, Phase::Done, Cause::Rule), true),
        (record(0, By::Nobody, Phase::Done, Cause::None), true),
        (record(400, By::Client, Phase::RequestHead, Cause::Invalid), true),
        (record(200, By::Client, Phase::ResponseContent, Cause::Reset), true),
    ] {
        assert_eq!(record.is_failure(), is_failure, "{record:?}");
    }
}
