//! Lines of each format.
use proptest::prelude::*;

use super::super::ended::{By, Cause, Ended, Phase};
use super::super::record::{Acted, DEFAULT_PRIORITY, Facts, Record, Timings};
use super::super::record_tests::{full, full_facts, full_with};
use super::fields::{FIELDS, JSON_COUNT, RARE_FIELDS, RARE_JSON_COUNT};
use crate::http::head::Version;
use crate::telemetry::batch::RecordBuffer;
use crate::telemetry::format::*;
use crate::telemetry::options::LogOutput;
use crate::telemetry::rare::tests::FULL;
use crate::telemetry::rare::{ClientCertificate, Rare, Tls};
use crate::telemetry::reason::Reason;

fn options(format: LogFormat, template: Option<&str>, query: LogQuery) -> AccessLogOptions {
    AccessLogOptions {
        output: LogOutput::Off,
        format,
        template: template.map(Box::from),
        sample: 1,
        query,
        buffer_bytes: 0,
    }
}

fn formatter(format: LogFormat) -> Formatter {
    Formatter::new(Style::of(&options(format, None, LogQuery::Keep)).expect("a style"))
}

/// Goes through a batch, as all records do.
fn add(formatter: &mut Formatter, record: &Record<'_>, lines: &mut Lines) {
    let mut batch = RecordBuffer::new(0);
    batch.carry_certificates(true);
    assert!(batch.push(record));
    assert!(batch.records().all(|logged| formatter.line(&logged, lines)));
}

fn written(mut formatter: Formatter, record: &Record<'_>) -> String {
    let mut lines = Lines::new(64 * 1024);
    assert!(lines.add(|line| line.put(b"before\n")));
    add(&mut formatter, record, &mut lines);
    let text = std::str::from_utf8(lines.as_bytes()).expect("UTF-8");
    let line = text.strip_prefix("before\n").and_then(|line| line.strip_suffix('\n'));
    let line = line.expect("appended, with a line feed");
    assert!(!line.contains('\n'));
    line.into()
}

fn line(format: LogFormat, record: &Record<'_>) -> String {
    written(formatter(format), record)
}

fn by(template: &str, record: &Record<'_>) -> String {
    let options = options(LogFormat::Template, Some(template), LogQuery::Keep);
    written(Formatter::new(Style::of(&options).expect("a template")), record)
}

/// The fields of a line by ALB's rules: separated by spaces, some of them in quotes.
fn alb_fields(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (field, after) = quoted.split_once('"').expect("a closing quote");
                assert!(after.is_empty() || after.starts_with(' '), "{line}");
                (field, after.strip_prefix(' ').unwrap_or(after))
            }
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        fields.push(field.to_owned());
        rest = after;
    }
    fields
}

#[test]
fn json_says_everything_of_the_record() {
    assert_eq!(
        line(LogFormat::Json, &full()),
        concat!(
            r#"{"time":"2025-11-22T16:30:00.123Z","listener":"web","client":"203.0.113.9","#,
            r#""client_port":50123,"peer":"2001:db8::7","method":"POST","host":"shop.example.com","#,
            r#""path":"/cart?item=1","version":"HTTP/1.1","status":200,"target_status":201,"#,
            r#""rule":"checkout","group":"shop","target":"shop-1","sticky":"valid","bytes_in":321,"#,
            r#""bytes_out":4567,"content_bytes_in":12,"content_bytes_out":4321,"request_us":15,"#,
            r#""queue_us":7,"connect_us":230,"first_byte_us":1200,"total_us":1456,"retries":1,"#,
            r#""target_reused":true,"upgraded":true,"ended":"TDR","ended_by":"target","#,
            r#""ended_phase":"response_content","ended_cause":"reset","code":"target_reset","#,
            r#""request_id":"abc-123","referer":"https://shop.example.com/","user_agent":"curl/8"}"#,
        )
    );
}

#[test]
fn json_has_a_rare_fact_where_it_is_known_and_no_key_where_it_is_not() {
    let with = |rare: Option<&Rare<'_>>| line(LogFormat::Json, &Record { rare, ..full() });
    let bare = with(None);
    let Some(begun) = bare.strip_suffix('}') else { panic!("{bare}") };
    assert_eq!(with(Some(&Rare::default())), bare);
    assert_eq!(
        with(Some(&FULL)),
        format!(
            "{begun},{}",
            concat!(
                r#""stream":13,"target_protocol":"https","target_protocol_version":"grpc","#,
                r#""grpc_status":14,"tls_version":"TLSv1.3","tls_cipher":"TLS13_AES_256_GCM_SHA384","#,
                r#""tls_resumed":true,"sni":"shop.example.com","#,
                r#""tls_client_subject":"CN=till-7,O=Shop","tls_client_issuer":"CN=Shop CA","#,
                r#""tls_client_names":"till-7.shop.example.com","tls_client_serial":"0a1b","#,
                r#""tls_client_fingerprint":"9f86d081"}"#
            )
        )
    );
    let client = ClientCertificate::default();
    let (version, cipher) = (&b"TLSv1.2"[..], &b"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"[..]);
    let tls = Tls { version, cipher, resumed: Some(false), server_name: b"", client };
    assert_eq!(
        with(Some(&Rare { tls: Some(tls), ..Rare::default() })),
        format!(
            "{begun},{}",
            concat!(
                r#""tls_version":"TLSv1.2","tls_cipher":"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256","#,
                r#""tls_resumed":false}"#
            )
        )
    );
}

#[test]
fn a_certificate_cannot_leave_its_string() {
    let client = ClientCertificate { subject: b"CN=\"\n\xff", ..ClientCertificate::default() };
    let tls = FULL.tls.map(|tls| Tls { server_name: b"a\" \"b c", client, ..tls });
    let rare = Rare { tls, ..FULL };
    let record = Record { rare: Some(&rare), ..full() };
    let json = line(LogFormat::Json, &record);
    assert!(json.contains("\"tls_client_subject\":\"CN=\\\"\\n\u{fffd}\""), "{json}");
    assert_eq!(alb_fields(&line(LogFormat::Alb, &record))[18], r"a\x22 \x22b c");
    assert_eq!(by("{tls_client_subject}", &record), r"CN=\x22\x0a\xff");
}

#[test]
fn a_template_writes_a_rare_fact_and_a_dash_where_there_is_none() {
    let record = Record { rare: Some(&FULL), ..full() };
    let value: serde_json::Value =
        serde_json::from_str(&line(LogFormat::Json, &record)).expect("JSON");
    for info in RARE_FIELDS.iter().take(RARE_JSON_COUNT) {
        let template = format!("{{{0}}} {{{0}:json}}", info.name);
        let plain = match &value[info.name] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(by(&template, &record), format!("{plain} {}", value[info.name]));
        assert_eq!(by(&template, &full()), "- null", "{}", info.name);
    }
}

#[test]
fn a_whole_certificate_is_written_by_a_template_alone() {
    let record = Record { rare: Some(&FULL), ..full() };
    let template = "{tls_client_certificate} {tls_client_certificate:json}";
    assert_eq!(by(template, &record), ":MIIB: \":MIIB:\"");
    assert_eq!(by(template, &full()), "- null");
    assert!(!line(LogFormat::Json, &record).contains("MIIB"));
}

#[test]
fn every_version_has_its_name_in_every_format() {
    for (version, name) in [
        (Version::Http10, "HTTP/1.0"),
        (Version::Http11, "HTTP/1.1"),
        (Version::Http2, "HTTP/2.0"),
        (Version::Http3, "HTTP/3.0"),
    ] {
        let record = full_with(Facts { version: Some(version), ..full_facts() });
        assert!(line(LogFormat::Json, &record).contains(&format!("\"version\":\"{name}\"")));
        for format in [LogFormat::Combined, LogFormat::Alb] {
            assert!(line(format, &record).contains(&format!(" {name}\"")), "{format:?} {name}");
        }
        assert_eq!(by("{version}", &record), name);
    }
}

#[test]
fn json_keeps_every_key_where_nothing_is_known() {
    let keys = |record: &Record<'_>| -> Vec<String> {
        let value: serde_json::Value =
            serde_json::from_str(&line(LogFormat::Json, record)).expect("JSON");
        value.as_object().expect("object").keys().cloned().collect()
    };
    assert_eq!(keys(&Record::default()), keys(&full()));
    let bare = line(LogFormat::Json, &Record::default());
    assert!(
        bare.starts_with(r#"{"time":"1970-01-01T00:00:00.000Z","listener":null,"client":null"#)
    );
    assert!(bare.contains(r#""status":null,"target_status":null"#), "{bare}");
    assert!(bare.contains(r#""queue_us":null"#) && bare.contains(r#""ended":"---""#), "{bare}");
}

#[test]
fn combined_is_apaches() {
    assert_eq!(
        line(LogFormat::Combined, &full()),
        "203.0.113.9 - - [22/Nov/2025:16:30:00 +0000] \"POST /cart?item=1 HTTP/1.1\" 200 4321 \
         \"https://shop.example.com/\" \"curl/8\""
    );
    assert_eq!(
        line(LogFormat::Combined, &Record::default()),
        "- - - [01/Jan/1970:00:00:00 +0000] \"-\" - - \"-\" \"-\""
    );
}

#[test]
fn a_request_cannot_leave_its_string() {
    let record =
        Record { path: b"/\"x\\\r\n\t\x01\x7f", user_agent: b"caf\xc3\xa9 \xff\"", ..full() };
    let json = line(LogFormat::Json, &record);
    assert!(json.contains(r#""path":"/\"x\\\r\n\t\u0001\u007f""#), "{json}");
    assert!(json.contains("\"user_agent\":\"café \u{fffd}\\\"\""), "{json}");
    let combined = line(LogFormat::Combined, &record);
    assert!(combined.contains(r#""POST /\"x\\\x0d\x0a\x09\x01\x7f HTTP/1.1""#), "{combined}");
    assert!(combined.ends_with(r#""caf\xc3\xa9 \xff\"""#), "{combined}");
}

#[test]
fn the_second_is_formatted_anew_when_it_changes() {
    let mut formatter = formatter(LogFormat::Json);
    let mut lines = Lines::new(64 * 1024);
    for time_unix_ms in [999, 1000, 1001, 61_042, 5] {
        add(&mut formatter, &Facts { time_unix_ms, ..Facts::default() }.into(), &mut lines);
    }
    let text = String::from_utf8(lines.as_bytes().to_vec()).expect("UTF-8");
    let times: Vec<_> = text.lines().filter_map(|line| line.get(9..33)).collect();
    assert_eq!(
        times,
        [
            "1970-01-01T00:00:00.999Z",
            "1970-01-01T00:00:01.000Z",
            "1970-01-01T00:00:01.001Z",
            "1970-01-01T00:01:01.042Z",
            "1970-01-01T00:00:00.005Z",
        ]
    );
}

#[test]
fn json_has_the_keys_of_the_table() {
    let value: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&line(LogFormat::Json, &full())).expect("JSON");
    let names: Vec<_> = FIELDS.iter().take(JSON_COUNT).map(|info| info.name).collect();
    assert!(names.iter().all(|name| value.contains_key(*name)));
    assert_eq!(value.len(), names.len());
}

#[test]
fn a_template_writes_every_field_as_json_has_it() {
    let value: serde_json::Value =
        serde_json::from_str(&line(LogFormat::Json, &full())).expect("JSON");
    for info in FIELDS.iter().take(JSON_COUNT) {
        let plain = by(&format!("{{{}}}", info.name), &full());
        let wanted = match &value[info.name] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(plain, wanted, "{}", info.name);
        let json: serde_json::Value =
            serde_json::from_str(&by(&format!("{{{}:json}}", info.name), &full())).expect("JSON");
        assert_eq!(json, value[info.name], "{}", info.name);
    }
    for (name, wanted) in [
        ("action", "forward"),
        ("location", "https://www.example.com/new?item=1"),
        ("rule_priority", "10"),
        ("target_address", "192.0.2.7:9001"),
        ("scheme", "https"),
    ] {
        assert_eq!(by(&format!("{{{name}}}"), &full()), wanted);
    }
    let default = full_with(Facts { rule_priority: Some(DEFAULT_PRIORITY), ..full_facts() });
    assert_eq!(by("{rule_priority} {rule_priority:json}", &default), "- null");
}

#[test]
fn a_template_says_where_nothing_is_known_and_no_request_leaves_its_place() {
    assert_eq!(by("{{{client}}} \"{path}\" {status}", &Record::default()), "{-} \"-\" -");
    let record = Record { path: b"/\"{status}\\\n\xff", ..full() };
    assert_eq!(by("\"{path}\"", &record), r#""/\x22{status}\x5c\x0a\xff""#);
    assert_eq!(by("{path:json}", &record), "\"/\\\"{status}\\\\\\n\u{fffd}\"");
}

#[test]
fn alb_is_aws_field_for_field() {
    assert_eq!(
        line(LogFormat::Alb, &full()),
        concat!(
            "wss 2025-11-22T16:30:00.124456Z web 203.0.113.9:50123 192.0.2.7:9001 0.000 0.000 0.000 ",
            "200 201 321 4567 \"POST https://shop.example.com:8443/cart?item=1 HTTP/1.1\" \"curl/8\" ",
            "- - shop \"abc-123\" \"-\" \"-\" 10 2025-11-22T16:30:00.123000Z \"forward\" ",
            "\"https://www.example.com/new?item=1\" \"target_reset\" \"192.0.2.7:9001\" \"201\" ",
            "\"-\" \"-\" - \"-\" \"-\" \"-\"",
        )
    );
    assert_eq!(
        line(LogFormat::Alb, &Record::default()),
        concat!(
            "http 1970-01-01T00:00:00.000000Z - - - -1 -1 -1 - - 0 0 \"- - -\" \"-\" - - - \"-\" \"-\" ",
            "\"-\" - 1970-01-01T00:00:00.000000Z \"-\" \"-\" \"-\" \"-\" \"-\" \"-\" \"-\" - \"-\" ",
            "\"-\" \"-\"",
        )
    );
}

#[test]
fn alb_tells_the_encryption_and_the_protocol() {
    let fields = |facts, rare| {
        alb_fields(&line(LogFormat::Alb, &Record { rare: Some(rare), ..full_with(facts) }))
    };
    let facts = Facts { upgraded: false, ..full_facts() };
    let call = fields(facts, &FULL);
    assert_eq!((call.len(), call[0].as_str()), (33, "grpcs"));
    assert_eq!(call[14..16], ["TLS13_AES_256_GCM_SHA384", "TLSv1.3"]);
    assert_eq!(call[18..20], ["shop.example.com", "-"]);
    let other = Rare { target: None, ..FULL };
    assert_eq!(fields(Facts { version: Some(Version::Http2), ..facts }, &other)[0], "h2");
    assert_eq!(fields(facts, &other)[0], "https");
    assert_eq!(fields(full_facts(), &FULL)[0], "wss");
    assert_eq!(fields(Facts { encrypted: false, ..facts }, &FULL)[0], "http");
}

#[test]
fn alb_has_its_33_fields_whatever_a_request_holds() {
    let hostile = Record {
        method: b"GE T",
        host: b"a b",
        path: b"/\" \\ \xff",
        user_agent: b"x\" \"y\\",
        request_id: b"\"",
        ..full()
    };
    for record in [full(), Record::default(), hostile, Record { rare: Some(&FULL), ..full() }] {
        assert_eq!(alb_fields(&line(LogFormat::Alb, &record)).len(), 33);
    }
    let fields = alb_fields(&line(LogFormat::Alb, &hostile));
    assert_eq!(fields[12], r"GE\x20T https://a\x20b:8443/\x22\x20\x5c\x20\xff HTTP/1.1");
    assert_eq!(fields[13], r"x\x22 \x22y\x5c");
}

#[test]
fn alb_tells_what_happened_by_its_own_conventions() {
    let fields = |record: &Record<'_>| alb_fields(&line(LogFormat::Alb, record));
    let gone = fields(&full_with(Facts { status: 499, target_status: 0, ..full_facts() }));
    assert_eq!((gone[8].as_str(), gone[9].as_str()), ("460", "-"));
    assert_eq!(gone[5..8], ["0.000", "-1", "-1"]);
    let timings = Timings {
        request_us: 1_000_000,
        queue_us: Some(20_000),
        connect_us: Some(3000),
        first_byte_us: Some(2_523_000),
        total_us: 4_000_000,
    };
    assert_eq!(
        fields(&full_with(Facts { timings, ..full_facts() }))[5..8],
        ["1.023", "2.500", "0.000"]
    );
    let default = full_with(Facts { rule_priority: Some(DEFAULT_PRIORITY), ..full_facts() });
    assert_eq!(fields(&default)[20], "0");
    let facts = Facts { listener_port: 80, ..full_facts() };
    let host = Record { facts, host: b"[::1]:81", ..full() };
    assert_eq!(fields(&host)[12], "POST https://[::1]:81/cart?item=1 HTTP/1.1");
    let host = Record { host: b"[::1]", ..host };
    assert_eq!(fields(&host)[12], "POST https://[::1]:80/cart?item=1 HTTP/1.1");
    let answered = full_with(Facts {
        action: Some(Acted::Respond),
        target_reused: None,
        target_address: None,
        ..full_facts()
    });
    assert_eq!(
        (fields(&answered)[22].as_str(), fields(&answered)[5].as_str()),
        ("fixed-response", "-1")
    );
    let ended = Ended::new(By::Client, Phase::RequestHead, Cause::Invalid);
    let facts = Facts { ended, ..Facts::default() };
    let refused = Record { facts, code: "host_missing", ..Record::default() };
    assert_eq!(fields(&refused)[24..29], ["host_missing", "-", "-", "Severe", "host_missing"]);
}

#[test]
fn queries_stand_in_no_format_unless_they_are_kept() {
    let record = Record {
        path: b"/x?token=s3cret",
        referer: b"https://u:s3cret@r.test/?s3cret#s3cret",
        location: b"/y?token=s3cret",
        ..full()
    };
    let template = Some("{path} {referer} {location:json}");
    for format in [LogFormat::Json, LogFormat::Combined, LogFormat::Alb, LogFormat::Template] {
        let line = |query| {
            let style = Style::of(&options(format, template, query)).expect("a style");
            written(Formatter::new(style), &record)
        };
        assert!(line(LogQuery::Keep).contains("s3cret"), "{format:?}");
        let redacted = line(LogQuery::Redact);
        assert!(redacted.contains("token=***") && !redacted.contains("s3cret"), "{redacted}");
        let removed = line(LogQuery::Remove);
        assert!(!removed.contains("token") && !removed.contains("s3cret"), "{removed}");
    }
}

#[test]
fn an_impossible_time_is_no_panic() {
    let record = Facts { time_unix_ms: u64::MAX, ..Facts::default() }.into();
    assert!(line(LogFormat::Json, &record).contains("1970-01-01"));
}

/// Lines as they were written before the formatter was made faster; they have not changed by a byte.
#[test]
fn lines_stay_as_they_were() {
    let long = "0123456789abcdef".repeat(5) + "/%E2%82%AC?q=\u{20ac}&r";
    let facts = Facts {
        time_unix_ms: 951_782_400_007,
        client: Some("2001:db8::ffff:1".parse().expect("address")),
        client_port: 9,
        peer: Some("10.0.200.99".parse().expect("address")),
        listener_port: 80,
        version: Some(Version::Http10),
        status: 499,
        bytes_in: 10_000,
        bytes_out: u64::MAX,
        content_bytes_in: 99_999_999,
        content_bytes_out: 1_000_000_000_000,
        timings: Timings { request_us: 9, total_us: 1234, ..Timings::default() },
        retries: 10,
        target_reused: Some(false),
        sticky: Some(Reason::ExpiredIdle),
        rule_priority: Some(DEFAULT_PRIORITY),
        action: Some(Acted::Respond),
        target_address: Some("[2001:db8::1]:65535".parse().expect("address")),
        ended: Ended::new(By::Client, Phase::RequestContent, Cause::Unusable),
        ..Facts::default()
    };
    let odd = Record {
        facts,
        listener: "wéb",
        group: "g\"",
        target: "",
        rule: "a rule with spaces",
        code: "code",
        method: b"GE\\",
        host: b"[::1]",
        path: long.as_bytes(),
        referer: b"https://u:p@r.test/%20?a=b#c",
        user_agent: b"\x7fMozilla/5.0 (X11; Linux x86_64; \"quoted\") \xff\xfe",
        request_id: b"1234567",
        location: b"",
        rare: None,
    };
    let template = "{{{time}}} {client} {peer:json} {path} {user_agent:json} {user_agent} {sticky} \
                    {bytes_out} {target_address} {rule} {action:json} {upgraded} {location:json}";
    let mut text = String::new();
    for record in [Record::default(), full(), odd] {
        for format in [LogFormat::Json, LogFormat::Combined, LogFormat::Alb, LogFormat::Template] {
            for query in [LogQuery::Redact, LogQuery::Remove, LogQuery::Keep] {
                let style = Style::of(&options(format, Some(template), query)).expect("a style");
                text.push_str(&written(Formatter::new(style), &record));
                text.push('\n');
            }
        }
    }
    assert_eq!(text, include_str!("format_lines.txt"));
}

proptest! {
    #[test]
    fn any_bytes_make_one_json_object(
        path in proptest::collection::vec(any::<u8>(), 0..64),
        name in ".{0,16}",
    ) {
        let record = Record { path: &path, listener: &name, ..full() };
        let value: serde_json::Value =
            serde_json::from_str(&line(LogFormat::Json, &record)).expect("JSON");
        let text = String::from_utf8_lossy(&path);
        prop_assert_eq!(value["path"].as_str().unwrap_or_default(), text);
        prop_assert_eq!(value["listener"].as_str().unwrap_or_default(), &name);
        let combined = line(LogFormat::Combined, &record);
        prop_assert!(combined.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    }
}
