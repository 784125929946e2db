//! The stories of <https://github.com/http2jp/hpack-test-case>: thousands of heads as a dozen other encoders wrote
//! them.
//!
//! They are no part of the project: `LIMPET_HPACK_STORIES` names a copy of that repository. Without it the test says so
//! and passes.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use limpet::http2::hpack::block::{Block, Limits};
use limpet::http2::hpack::decoder::Decoder;
use serde_json::Value;

const LIMITS: Limits =
    Limits { list_bytes: 64 * 1024, field_count: 128, list_bytes_max: 256 * 1024 };

fn stories(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            stories(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// The head of a case as a block has it: Cookie joined and last.
fn head_of(case: &Value) -> String {
    let (mut head, mut crumbs) = (String::new(), Vec::new());
    for field in case["headers"].as_array().expect("headers") {
        for (name, value) in field.as_object().expect("a field") {
            let value = value.as_str().expect("text");
            match name.as_str() {
                "cookie" => crumbs.push(value),
                name => head.push_str(&format!("{name}: {value}\r\n")),
            }
        }
    }
    if !crumbs.is_empty() {
        head.push_str(&format!("cookie: {}\r\n", crumbs.join("; ")));
    }
    head + "\r\n"
}

/// Decodes the cases of a story, each in pieces of `cut` bytes; returns their count.
fn play(path: &Path, story: &Value, cut: usize) -> usize {
    let (mut decoder, mut block) = (Decoder::default(), Block::default());
    let cases = story["cases"].as_array().expect("cases");
    for case in cases {
        if let Some(size) = case["header_table_size"].as_u64() {
            decoder.set_size_limit(size as u32);
        }
        block.clear();
        let coded = bytes_of(case["wire"].as_str().expect("wire"));
        let told = format!("{} case {} cut by {cut}", path.display(), case["seqno"]);
        for fragment in coded.chunks(cut) {
            decoder.decode(fragment, false, &LIMITS, &mut block).expect(&told);
        }
        decoder.decode(&[], true, &LIMITS, &mut block).expect(&told);
        assert_eq!(String::from_utf8_lossy(block.raw()), head_of(case), "{told}");
    }
    cases.len()
}

#[test]
fn heads_of_other_encoders_are_decoded() {
    let Some(folder) = std::env::var_os("LIMPET_HPACK_STORIES") else {
        // Not by a macro: what those print in a test that passes is never seen.
        let told = b"skipped: LIMPET_HPACK_STORIES names no folder\n";
        io::stderr().write_all(told).expect("standard error can be written to");
        return;
    };
    let mut paths = Vec::new();
    stories(Path::new(&folder), &mut paths);
    let mut count = 0;
    for path in &paths {
        let text = std::fs::read_to_string(path).expect("a readable story");
        let story: Value = serde_json::from_str(&text).expect("a story");
        // The heads that the others were made of have no coded form.
        if story["cases"][0]["wire"].is_string() {
            count += play(path, &story, usize::MAX);
            count += play(path, &story, 7);
        }
    }
    assert!(count > 10_000, "{count} cases in {} files", paths.len());
}
