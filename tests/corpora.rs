//! The vectors of others against the parsers, judged as the folder's README says.
//!
//! The folder is no part of the project: `../shared/corpora` beside it, or where `LIMPET_CORPORA`
//! says. Where it is absent the tests say so and pass, unless `LIMPET_REQUIRE_CORPORA=1`. Every vector on which limpet differs from its
//! author stands in a list here with the reason; a list entry that is not needed fails the test.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use limpet::http::edits::{ForwardedFor, Replaced, RequestEdits, Wire};
use limpet::http::fields::{FieldId, Fields};
use limpet::http::head::{ContentLength, HeadLimits, Method, Mode};
use limpet::http::refusal::Refusal;
use limpet::http1::chunked::Decoder;
use limpet::http1::framing::ResponseFraming;
use limpet::http1::head::{Parsed, parse_request, parse_response, skip_empty_lines};
use limpet::http1::rewrite;
use yaml_rust2::{Yaml, YamlLoader};

const LIMITS: HeadLimits = HeadLimits {
    request_line_bytes: 16 * 1024,
    field_line_bytes: 16 * 1024,
    head_bytes: 64 * 1024,
    field_count: 128,
};

fn corpora(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LIMPET_CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora"),
        PathBuf::from,
    );
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    let is_required = std::env::var_os("LIMPET_REQUIRE_CORPORA").is_some_and(|value| value == "1");
    assert!(!is_required, "{} is not there, and LIMPET_REQUIRE_CORPORA=1", folder.display());
    // Not by a macro: what those print in a test that passes is never seen.
    let told = format!("skipped: {} is not there (set LIMPET_CORPORA)\n", folder.display());
    io::stderr().write_all(told.as_bytes()).expect("standard error can be written to");
    None
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a readable folder")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no .{extension} files in {}", folder.display());
    files
}

/// What became of a stream of messages.
#[derive(Debug, Default)]
struct Outcome {
    /// Messages that were read whole.
    messages: usize,
    content: Vec<u8>,
    refusal: Option<&'static str>,
    /// The connection ends after the last message: what follows is never read as one.
    closed: bool,
    /// Bytes of a message that is not complete.
    unfinished: bool,
}

/// Takes chunked content off `input`; `None` when it is refused or unfinished, which `outcome` says.
fn chunked_content(input: &[u8], outcome: &mut Outcome) -> Option<usize> {
    let mut buf = input.to_vec();
    match Decoder::default().decode_in_place(&mut buf) {
        Err(fault) => outcome.refusal = Some(fault.code()),
        Ok(decoded) => {
            outcome.content.extend_from_slice(&buf[..decoded.content]);
            if decoded.end {
                return Some(decoded.consumed);
            }
            outcome.unfinished = true;
        }
    }
    None
}

fn length_content(input: &[u8], length: u64, outcome: &mut Outcome) -> Option<usize> {
    let available = u64::try_from(input.len()).expect("64 bits").min(length);
    let bytes = usize::try_from(available).expect("64 bits");
    outcome.content.extend_from_slice(&input[..bytes]);
    if available < length {
        outcome.unfinished = true;
        return None;
    }
    Some(bytes)
}

/// What one message took of the input.
enum Step {
    Used(usize),
    HostMissing,
    Stop,
}

fn read_request(input: &[u8], outcome: &mut Outcome) -> Step {
    let mut fields = Fields::new();
    let head = match parse_request(input, &LIMITS, Mode::Strict, &mut fields) {
        Err(Refusal::HostMissing) => return Step::HostMissing,
        Err(refusal) => {
            outcome.refusal = Some(refusal.code());
            return Step::Stop;
        }
        Ok(Parsed::Partial) => {
            outcome.unfinished = true;
            return Step::Stop;
        }
        Ok(Parsed::Complete(head)) => head,
    };
    let content = &input[head.raw.len()..];
    let used = match head.content {
        ContentLength::None => Some(0),
        ContentLength::Exact(length) => length_content(content, length, outcome),
        ContentLength::Unknown => chunked_content(content, outcome),
    };
    // What follows a request for an upgrade is the tunnel's.
    outcome.closed = !head.persistent || head.upgrade;
    used.map_or(Step::Stop, |used| Step::Used(head.raw.len() + used))
}

/// Reads requests as a connection would. A message without Host gets one: the vectors are about
/// other things, and that a missing Host is refused has its own tests.
fn read_requests(stream: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut input = stream.to_vec();
    loop {
        input.drain(..skip_empty_lines(&input));
        if input.is_empty() || outcome.closed {
            return outcome;
        }
        match read_request(&input, &mut outcome) {
            Step::Used(used) => {
                outcome.messages += 1;
                input.drain(..used);
            }
            Step::HostMissing => {
                let line = input.windows(2).position(|pair| pair == b"\r\n").expect("a line");
                let host = match String::from_utf8_lossy(&input[..line]).split_once("://") {
                    Some((_, rest)) => rest.split(['/', '?', ' ']).next().map(str::to_owned),
                    None => Some("corpus".to_owned()),
                };
                let field = format!("\r\nHost: {}", host.expect("an authority"));
                input.splice(line..line, field.into_bytes());
            }
            Step::Stop => return outcome,
        }
    }
}

fn read_responses(stream: &[u8], method: Method) -> Outcome {
    let mut outcome = Outcome::default();
    let mut input = stream;
    while !input.is_empty() {
        let mut fields = Fields::new();
        match parse_response(input, &LIMITS, method, &mut fields) {
            Err(fault) => {
                outcome.refusal = Some(fault.code());
                return outcome;
            }
            Ok(Parsed::Partial) => {
                outcome.unfinished = true;
                return outcome;
            }
            Ok(Parsed::Complete((head, on_wire))) => {
                let content = &input[head.raw.len()..];
                outcome.closed = !on_wire.persistent || head.status == 101;
                let used = match on_wire.framing {
                    ResponseFraming::None => Some(0),
                    ResponseFraming::Length(length) => {
                        length_content(content, length, &mut outcome)
                    }
                    ResponseFraming::Chunked => chunked_content(content, &mut outcome),
                    ResponseFraming::UntilClose => {
                        outcome.content.extend_from_slice(content);
                        Some(content.len())
                    }
                };
                let Some(used) = used else { return outcome };
                input = &content[used..];
            }
        }
        outcome.messages += 1;
        if outcome.closed {
            return outcome;
        }
    }
    outcome
}

/// One vector of llhttp's Markdown.
struct Vector {
    /// "folder/file.md: heading".
    name: String,
    kind: String,
    skips_content: bool,
    input: Vec<u8>,
    log: String,
}

impl Vector {
    /// llhttp's error, unless it is a pause that the vector asked for (21) or an upgrade's (22).
    fn error(&self) -> Option<&str> {
        let is_pause = |line: &str| line.contains("code=21 ") || line.contains("code=22 ");
        self.log.lines().find(|line| line.contains("error code=") && !is_pause(line))
    }

    fn message_count(&self) -> usize {
        self.log.lines().filter(|line| line.ends_with(" message complete")).count()
    }

    fn content_bytes(&self) -> usize {
        let body = |line: &str| {
            let (_, rest) = line.split_once(" len=")?;
            let (bytes, rest) = rest.split_once(' ')?;
            rest.starts_with("span[body]").then(|| bytes.parse::<usize>().expect("a length"))
        };
        self.log.lines().filter_map(body).sum()
    }
}

/// The text of a fenced block as llhttp's own test runner reads it.
fn unescape(block: &str) -> Vec<u8> {
    let text = block.strip_suffix('\n').unwrap_or(block).replace("\\\n", "").replace('\n', "\r\n");
    let text =
        text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t").replace("\\f", "\u{c}");
    let mut bytes = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.bytes().take_while(u8::is_ascii_hexdigit).count();
        bytes.push(u8::from_str_radix(&after[..digits], 16).expect("one byte"));
        rest = &after[digits..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn vectors(path: &Path) -> Vec<Vector> {
    let text = std::fs::read_to_string(path).expect("a readable file");
    let folder = path.parent().and_then(Path::file_name).expect("a folder").to_string_lossy();
    let file = path.file_name().expect("a file").to_string_lossy();
    let (mut heading, mut meta, mut input) = (String::new(), String::new(), None);
    let mut vectors = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix('#') {
            heading = title.trim_start_matches('#').trim().to_owned();
        } else if line.starts_with("<!-- meta=") {
            meta = line.replace(' ', "");
        } else if let Some(language) = line.strip_prefix("```") {
            let block: String = lines
                .by_ref()
                .take_while(|line| !line.starts_with("```"))
                .flat_map(|line| [line, "\n"])
                .collect();
            match language {
                "http" => input = Some(unescape(&block)),
                "log" => {
                    let (_, kind) = meta.split_once("\"type\":\"").expect("a type");
                    vectors.push(Vector {
                        name: format!("{folder}/{file}: {heading}"),
                        kind: kind.split('"').next().unwrap_or_default().to_owned(),
                        skips_content: meta.contains("\"skipBody\":true"),
                        input: input.take().expect("input before its log"),
                        log: block,
                    });
                }
                other => panic!("{}: a block of {other:?}", path.display()),
            }
        }
    }
    vectors
}

/// Vectors that llhttp takes in strict mode and limpet does not, with the code; the comment above each
/// group is the reason.
const STRICTER: &[(&str, &str)] = &[
    // asterisk-form is for OPTIONS alone (RFC 9112 §3.2.4).
    ("request/method.md: M-SEARCH request", "bad_request_target_form"),
    // Other protocols than HTTP, and HTTP/0.9.
    ("request/method.md: SOURCE request with ICE", "bad_request_line"),
    ("request/method.md: OPTIONS request with RTSP", "bad_request_line"),
    ("request/method.md: ANNOUNCE request with RTSP", "bad_request_line"),
    ("request/sample.md: No HTTP version", "bad_request_line"),
    ("response/sample.md: RTSP response", "response_bad_status_line"),
    ("response/sample.md: ICE response", "response_bad_status_line"),
    ("response/sample.md: HTTP version 0.9", "response_version_not_supported"),
    // CONNECT is never forwarded.
    ("request/method.md: CONNECT request", "method_not_allowed"),
    ("request/method.md: CONNECT request with CAPS", "method_not_allowed"),
    ("request/method.md: CONNECT with body", "method_not_allowed"),
    ("request/uri.md: Underscore in hostname", "method_not_allowed"),
    // Content-Type and Vary as trailers (RFC 9110 §6.5.1).
    ("request/transfer-encoding.md: Trailing headers", "trailer_forbidden"),
    // A fragment is no part of a request-target (RFC 9112 §3.2), nor is userinfo (RFC 9110 §4.2.4).
    ("request/uri.md: Fragment in URI", "bad_request_target"),
    (
        "request/transfer-encoding.md: POST with `chunked` as last transfer-encoding",
        "bad_request_target",
    ),
    (
        "request/transfer-encoding.md: POST with `chunked` as last transfer-encoding (multiple headers)",
        "bad_request_target",
    ),
    ("request/uri.md: `host:port` and basic auth", "user_info"),
    // Empty lines are skipped before a request line alone (RFC 9112 §2.2): before a status line they
    // are bytes that no response of this connection accounts for.
    ("response/sample.md: Response starting with CRLF", "response_bad_status_line"),
    ("response/connection.md: HTTP 304 with Content-Length", "response_bad_status_line"),
    ("response/connection.md: HTTP 100 first, then 400", "response_bad_status_line"),
    ("response/pipelining.md: Should parse multiple events", "response_bad_status_line"),
    // A response whose codings limpet never offered (RFC 9112 §6.1), which llhttp reads until the end.
    (
        "response/transfer-encoding.md: `chunked` before other transfer-encoding",
        "response_transfer_encoding_invalid",
    ),
    (
        "response/transfer-encoding.md: multiple transfer-encoding where chunked is not the last one",
        "response_transfer_encoding_invalid",
    ),
    (
        "response/transfer-encoding.md: `chunkedchunked` transfer-encoding does not enable chunked enconding",
        "response_transfer_encoding_invalid",
    ),
];

/// Vectors that llhttp refuses and limpet does not: any token is a method (RFC 9110 §9.1), and what an
/// unknown one means is the target's to say.
const LOOSER: &[&str] = &[
    "request/invalid.md: HTTP protocol and ANNOUNCE method",
    "request/invalid.md: Invalid method",
];

/// A vector that asks llhttp's user not to read the content of requests, which limpet always does.
const NOT_APPLICABLE: &str =
    "request/content-length.md: Content-Length reset when no body is received";

#[test]
fn llhttp_vectors_are_judged_as_its_strict_mode_judges_them() {
    let Some(folder) = corpora("llhttp") else { return };
    let mut wrong = Vec::new();
    let mut unused: BTreeSet<&str> =
        STRICTER.iter().map(|(name, _)| *name).chain(LOOSER.iter().copied()).collect();
    let mut count = 0;
    for direction in ["request", "response"] {
        for vector in files(&folder.join(direction), "md").iter().flat_map(|path| vectors(path)) {
            // What a connection's end means is the exchange's business, not the parsers'.
            if vector.kind.ends_with("-finish") || vector.name == NOT_APPLICABLE {
                continue;
            }
            count += 1;
            let read = |input: &[u8]| match (direction, vector.skips_content) {
                ("request", _) => read_requests(input),
                (_, true) => read_responses(input, Method::Head),
                (_, false) => read_responses(input, Method::Get),
            };
            let mut outcome = read(&vector.input);
            if vector.error().is_some() && outcome.unfinished {
                // llhttp judges each field as it comes, limpet a head as a whole: bring its end.
                outcome = read(&[vector.input.as_slice(), b"\r\n\r\n"].concat());
            }
            if let Some(problem) = judge(&vector, &outcome, &mut unused) {
                wrong.push(format!("{} [{}]: {problem}", vector.name, vector.kind));
            }
        }
    }
    println!("{count} vectors");
    assert!(wrong.is_empty(), "{} vectors:\n{}", wrong.len(), wrong.join("\n"));
    assert!(unused.is_empty(), "list entries without need: {unused:#?}");
}

fn judge(vector: &Vector, outcome: &Outcome, unused: &mut BTreeSet<&str>) -> Option<String> {
    let name = vector.name.as_str();
    let is_refused = outcome.refusal.is_some();
    if vector.kind.contains("lenient") {
        // These two kinds let data follow a closed connection; limpet never reads it.
        let is_left = outcome.closed
            && (vector.kind.ends_with("keep-alive") || vector.kind.ends_with("data-after-close"));
        return (!is_refused && !is_left)
            .then(|| format!("passes what only a lenient mode may: {outcome:?}"));
    }
    if let Some((_, code)) = STRICTER.iter().find(|(stricter, _)| *stricter == name) {
        unused.remove(name);
        return (outcome.refusal != Some(code)).then(|| format!("not {code}: {outcome:?}"));
    }
    if LOOSER.contains(&name) {
        unused.remove(name);
        return is_refused.then(|| format!("listed as looser: {outcome:?}"));
    }
    if let Some(error) = vector.error() {
        // Data behind `Connection: close` is an error to llhttp and left unread by limpet.
        let is_left = outcome.closed && error.contains("error code=5 ");
        return (!is_refused && !is_left).then(|| format!("llhttp says {error}: {outcome:?}"));
    }
    let (messages, bytes) = (vector.message_count(), vector.content_bytes());
    let same = !is_refused && outcome.content.len() == bytes && outcome.messages >= messages;
    (!same).then(|| format!("llhttp has {messages} messages, {bytes} bytes: {outcome:?}"))
}

/// Compliant vectors of the desync engine that limpet refuses, with the code; the comment above each
/// group is the reason.
const DESYNC_STRICTER: &[(&str, &str)] = &[
    // limpet knows no coding but `chunked`: 501 (RFC 9112 §6.1).
    ("Correct TE OK", "transfer_coding_unknown"),
    ("Transfer-Encoding: identity and chunked OK", "transfer_coding_unknown"),
    ("Multiple transfer encoding headers in a single request OK", "transfer_coding_unknown"),
    ("Different Transfer-Encoding headers", "transfer_coding_unknown"),
    ("Different Transfer-Encoding headers combined", "transfer_coding_unknown"),
    // `chunked` has no parameters (RFC 9112 §7.1).
    ("TE with custom parameters OK", "transfer_encoding_invalid"),
    ("Transfer-Encoding with a param: chunked;custom_param", "transfer_encoding_invalid"),
    // A fragment, bytes that are not ASCII, and no target at all (RFC 9112 §3.2, RFC 3986 §2).
    ("Compliant URL", "bad_request_target"),
    ("International in URI", "bad_request_target"),
    ("Empty URI", "bad_request_line"),
];

#[test]
fn desync_vectors_are_refused_or_have_one_meaning() {
    let Some(folder) = corpora("desync-guardian") else { return };
    let mut wrong = Vec::new();
    let mut count = 0;
    let mut unused: BTreeSet<&str> = DESYNC_STRICTER.iter().map(|(name, _)| *name).collect();
    for path in files(&folder, "yaml") {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let documents = YamlLoader::load_from_str(&text).expect("valid YAML");
        for vector in documents.iter().flat_map(|document| document.as_vec().expect("a list")) {
            let name = scalar(&vector["name"]);
            let tier = scalar(&vector["expected"]["tier"]);
            // "\xa0" may mean a byte or a character: both must be judged alike.
            for is_bytes in [true, false] {
                count += 1;
                let verdict = forwarded(&request_of(vector, is_bytes));
                let stricter = DESYNC_STRICTER.iter().find(|(listed, _)| *listed == name);
                let problem = match (tier.as_str(), verdict) {
                    (_, Err(Unclear(why))) => Some(why),
                    ("Compliant", Ok(Verdict::Refused(code))) => match stricter {
                        Some((listed, expected)) if *expected == code => {
                            unused.remove(listed);
                            None
                        }
                        _ => Some(format!("compliant, but refused as {code}")),
                    },
                    ("Severe", Ok(Verdict::Forwarded)) => Some("severe, but passes".to_owned()),
                    ("Severe" | "Ambiguous" | "Acceptable" | "Compliant", Ok(_)) => None,
                    (other, _) => Some(format!("an unknown tier {other}")),
                };
                if let Some(problem) = problem {
                    wrong.push(format!("{}: {name}: {problem}", path.display()));
                }
            }
        }
    }
    println!("{count} requests");
    assert!(wrong.is_empty(), "{} vectors:\n{}", wrong.len(), wrong.join("\n"));
    assert!(unused.is_empty(), "list entries without need: {unused:#?}");
}

fn scalar(yaml: &Yaml) -> String {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Null => String::new(),
        other => panic!("not a scalar: {other:?}"),
    }
}

fn request_of(vector: &Yaml, is_bytes: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |text: &str| {
        for character in text.chars() {
            match u8::try_from(character) {
                Ok(byte) if is_bytes => out.push(byte),
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    };
    put(&scalar(&vector["method"]));
    put(" ");
    put(&scalar(&vector["uri"]));
    let version = scalar(&vector["version"]);
    if !version.is_empty() {
        put(" ");
        put(&version);
    }
    put("\r\n");
    let headers = vector["headers"].as_vec().map(Vec::as_slice).unwrap_or_default();
    let is_host = |header: &&Yaml| scalar(&header["name"]).eq_ignore_ascii_case("host");
    if !headers.iter().any(|header| is_host(&header)) {
        put("Host: corpus\r\n");
    }
    for header in headers {
        put(&scalar(&header["name"]));
        put(": ");
        put(&scalar(&header["value"]));
        put("\r\n");
    }
    put("\r\n");
    out
}

enum Verdict {
    Refused(&'static str),
    Forwarded,
}

struct Unclear(String);

/// Refused, or forwarded so that the head which the target gets can be read in one way only.
fn forwarded(request: &[u8]) -> Result<Verdict, Unclear> {
    let mut fields = Fields::new();
    let head = match parse_request(request, &LIMITS, Mode::Strict, &mut fields) {
        Err(refusal) => return Ok(Verdict::Refused(refusal.code())),
        Ok(Parsed::Partial) => return Err(Unclear("unfinished".to_owned())),
        Ok(Parsed::Complete(head)) => head,
    };
    if head.raw.len() != request.len() {
        return Err(Unclear("ends too early".to_owned()));
    }
    let edits = RequestEdits {
        wire: Wire::Http1,
        forwarded_for: ForwardedFor::Append,
        forwarded_for_entries: 30,
        peer: b"192.0.2.1",
        peer_trusted: false,
        scheme: b"http",
        front_scheme: b"http",
        front_port: b"80",
        keep_real_ip: false,
        real_ip: Some(b"192.0.2.1"),
        forwarded: false,
        via: None,
        request_id: None,
        path: None,
        host: None,
        strip_cookies: &[],
        session_field: Replaced::NONE,
        websocket_key: None,
        upgrade: None,
        max_forwards: None,
    };
    let mut out = Vec::new();
    rewrite::request(&head, &edits, &mut out);
    let mut fields = Fields::new();
    let Ok(Parsed::Complete(again)) = parse_request(&out, &LIMITS, Mode::Strict, &mut fields)
    else {
        return Err(Unclear("what is forwarded does not parse".to_owned()));
    };
    let framing_fields = |again: &Fields<'_>| {
        let is_framing =
            |id: FieldId| matches!(id, FieldId::ContentLength | FieldId::TransferEncoding);
        again.iter().filter(|field| is_framing(field.id)).count()
    };
    let expected = usize::from(head.content != ContentLength::None);
    let one_meaning = again.raw.len() == out.len()
        && again.content == head.content
        && again.host == head.host
        && framing_fields(again.fields) == expected
        && !again.fields.iter().any(|field| field.drop);
    if one_meaning { Ok(Verdict::Forwarded) } else { Err(Unclear("two meanings".to_owned())) }
}
