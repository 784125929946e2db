//! What <https://github.com/summerwind/h2spec> asks of a server of HTTP/2, in its strict mode, of the real binary.
//!
//! It is no part of the project: `LIMPET_H2SPEC` names its binary. Without it the test says so and passes. Every case
//! that limpet fails on purpose stands in a list here with the reason; a list entry that is not needed fails the test.
#![allow(
    dead_code,
    unused_imports,
    unsafe_code,
    reason = "the harness is that of the black-box tests, which use all of it and say why it is unsafe"
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

#[path = "blackbox/support/mod.rs"]
mod support;

use support::http2::both;
use support::{Target, kernel};

/// Fewer cases than this are not all of them.
const CASE_COUNT_MIN: usize = 147;

/// Seconds that h2spec waits for an answer.
const PATIENCE: &str = "10";

/// In clear, a port speaks both versions, and the preface tells which (RFC 9113 §3.3). What begins otherwise is
/// HTTP/1.1, and is refused as that: 400 and the end of the connection, where h2spec takes no byte in front of the end.
/// RFC 9113 §3.4 lets a server leave out the GOAWAY, because who sends such a preface does not speak HTTP/2. Under TLS
/// the client has chosen HTTP/2 by ALPN, and the same bytes end the connection as h2spec wants it.
const IN_CLEAR: &[&str] = &["http2/3.5: Sends invalid connection preface"];

const UNDER_TLS: &[&str] = &[];

fn binary() -> Option<OsString> {
    let binary = std::env::var_os("LIMPET_H2SPEC").filter(|name| !name.is_empty());
    if binary.is_none() {
        // Not by a macro: what those print in a test that passes is never seen.
        let told = b"skipped: LIMPET_H2SPEC names no binary of h2spec\n";
        io::stderr().write_all(told).expect("standard error can be written to");
    }
    binary
}

/// An attribute of an element of the report, which stands in one line.
fn attribute<'l>(line: &'l str, name: &str) -> &'l str {
    let (_, rest) = line.split_once(&format!(" {name}=\"")).expect("the attribute");
    rest.split_once('"').expect("its end").0
}

/// The cases of a report and those among them that did not pass, each as "section: what it does".
///
/// The element of a case that has passed is empty, and ends in its own line.
fn cases(report: &str) -> (usize, BTreeSet<String>) {
    let lines = report.lines().map(str::trim).filter(|line| line.starts_with("<testcase "));
    let mut failed = BTreeSet::new();
    let mut count = 0;
    for line in lines {
        count += 1;
        if !line.ends_with("></testcase>") {
            let (section, what) = (attribute(line, "package"), attribute(line, "classname"));
            failed.insert(format!("{section}: {what}"));
        }
    }
    (count, failed)
}

/// Runs every case against the listener of this name. Those that fail must be those of `exceptions`.
fn hold(listener: &str, more: &[&str], exceptions: &[&str]) {
    let Some(binary) = binary() else { return };
    // Some cases are about content.
    let target = Target::fixed("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlimpet");
    let limpet = both().serving(&target).start();
    let (address, report) = (limpet.address_of(listener), limpet.path("h2spec.xml"));
    let mut command = Command::new(&binary);
    command
        .args(["--strict", "--timeout", PATIENCE, "--host", &address.ip().to_string()])
        .args(["--port", &address.port().to_string(), "--junit-report"])
        .arg(&report)
        .args(more)
        .stdin(Stdio::null());
    kernel::die_with_parent(&mut command);
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
    let told = String::from_utf8_lossy(&output.stdout);
    let told = told.split_once("\nFailures:").map_or(&*told, |(_, failures)| failures);
    let xml = std::fs::read_to_string(&report)
        .unwrap_or_else(|error| panic!("h2spec left no report ({error}): {told}"));
    let (count, failed) = cases(&xml);
    assert!(count >= CASE_COUNT_MIN, "{count} cases are not all of them: {told}");
    let expected: BTreeSet<String> = exceptions.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(failed, expected, "those that failed are not those that are expected to: {told}");
}

#[test]
fn h2spec_finds_nothing_in_clear() {
    hold("clear", &[], IN_CLEAR);
}

#[test]
fn h2spec_finds_nothing_under_tls() {
    hold("secure", &["--tls", "--insecure"], UNDER_TLS);
}

#[test]
fn a_case_that_has_not_passed_is_seen_in_the_report() {
    let report = "<testsuites>\n  <testsuite name=\"3.5. x\" package=\"http2/3.5\" tests=\"3\">\n    \
        <testcase package=\"http2/3.5\" classname=\"One\" time=\"0.0001\"></testcase>\n    \
        <testcase package=\"http2/3.5\" classname=\"Two\" time=\"0.0040\">\n      <error>GOAWAY</error>\n    \
        </testcase>\n    <testcase package=\"http2/3.5\" classname=\"Three\" time=\"0.0040\">\n      \
        <skipped></skipped>\n    </testcase>\n  </testsuite>\n</testsuites>";
    let failed = ["http2/3.5: Three", "http2/3.5: Two"].map(str::to_owned);
    assert_eq!(cases(report), (3, failed.into()));
}
