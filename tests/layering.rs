//! The architecture and the style as ordinary tests: who may know whom, in one direction only, where
//! `unsafe` may stand, how long a file and a function may be. Reads src/ as text; parts under `#[cfg(test)]` are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;
/// Of a hundred functions 95 have at most so many lines.
const FUNCTION_LINES_P95_MAX: usize = 50;
const FUNCTION_LINES_MAX: usize = 70;

const DATA_PLANE: [&str; 21] = [
    "challenges",
    "client",
    "exchange",
    "group",
    "http",
    "http1",
    "http2",
    "listener",
    "proxy_protocol",
    "random",
    "routing",
    "shard",
    "snapshot",
    "stickiness",
    "table",
    "telemetry",
    "time",
    "tls",
    "transport",
    "upstream",
    "uring",
];

/// Modules whose files import each other in one direction only.
const WITHOUT_CYCLES: [&str; 21] = [
    "challenges",
    "client",
    "exchange",
    "group",
    "http",
    "http1",
    "http2",
    "listener",
    "proxy_protocol",
    "random",
    "routing",
    "shard",
    "snapshot",
    "stickiness",
    "table",
    "telemetry",
    "time",
    "tls",
    "transport",
    "upstream",
    "uring",
];

/// What only tests have, in folders of its own: the simulated engine, and whole exchanges on it.
const SIMULATED: [&str; 2] = ["uring/simulated/", "simulation/"];

/// One file of src/, without comments, contents of strings and tests.
struct Source {
    /// Below src/.
    path: PathBuf,
    /// Path of the module within the crate.
    module: Vec<String>,
    raw: String,
    /// As long as the file, with spaces for what was left out; lines keep their numbers.
    code: String,
}

impl Source {
    fn top(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("read src") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "src/ was not found whole");
    found.iter().filter(|path| !is_test_file(path)).map(|path| source(&root, path)).collect()
}

/// Files that a parent includes under `#[cfg(test)]`.
fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let in_folder = path.components().any(|part| part.as_os_str() == "tests")
        && path.components().any(|part| part.as_os_str() == "src");
    let below_src = path.to_string_lossy();
    let below_src = below_src.rsplit("/src/").next().unwrap_or_default();
    stem == "tests"
        || stem.ends_with("_tests")
        || (in_folder && below_src.contains("/tests/"))
        || SIMULATED.iter().any(|folder| below_src.starts_with(folder))
}

fn source(root: &Path, path: &Path) -> Source {
    let raw = fs::read_to_string(path).expect("read a source file");
    let below = path.strip_prefix(root).expect("below src").to_owned();
    let mut module: Vec<String> = below
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    let code = without_tests(&without_text(&raw));
    Source { path: below, module, raw, code }
}

/// Where a literal or a comment that begins at `at` ends; `None` where there is none.
fn end_of_text(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
    let in_word = before.is_ascii_alphanumeric() || before == b'_';
    if rest.starts_with(b"//") {
        return Some(rest.iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| at + n));
    }
    if rest.starts_with(b"/*") {
        return Some(end_of_block_comment(bytes, at));
    }
    if rest.starts_with(b"\"") {
        return Some(end_of_string(bytes, at + 1));
    }
    let raw = usize::from(rest.starts_with(b"br") || rest.starts_with(b"cr")) + 1;
    if !in_word && (rest.starts_with(b"r") || raw == 2) {
        let hashes = rest[raw..].iter().take_while(|&&b| b == b'#').count();
        if rest.get(raw + hashes) == Some(&b'"') {
            let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
            let from = at + raw + hashes + 1;
            let end = bytes[from..].windows(close.len()).position(|w| w == close);
            return Some(end.map_or(bytes.len(), |n| from + n + close.len()));
        }
    }
    if rest.starts_with(b"'") {
        // A character literal ends in a quote; a lifetime does not.
        if rest.get(1) == Some(&b'\\') {
            let end = rest.iter().skip(3).position(|&b| b == b'\'');
            return end.map(|n| at + n + 4);
        }
        let text = std::str::from_utf8(&rest[1..rest.len().min(6)]);
        let valid = match text {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&rest[1..=error.valid_up_to()]).unwrap_or(""),
        };
        let width = valid.chars().next().map_or(1, char::len_utf8);
        return (rest.get(1 + width) == Some(&b'\'')).then_some(at + width + 2);
    }
    None
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn end_of_block_comment(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// Spaces in place of comments and literals.
fn without_text(raw: &str) -> String {
    let bytes = raw.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        if let Some(end) = end_of_text(bytes, at) {
            let end = end.min(bytes.len());
            blank(&mut out[at..end]);
            at = end;
        } else {
            at += 1;
        }
    }
    String::from_utf8(out).expect("whole characters were replaced")
}

fn blank(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// Spaces in place of items under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(at) = code[from..].find("#[cfg(test)]").map(|at| from + at) {
        let body = at + "#[cfg(test)]".len();
        let end = item_end(code, body).unwrap_or(code.len());
        blank(&mut out[at..end]);
        from = end;
    }
    String::from_utf8(out).expect("whole characters were replaced")
}

/// Where the item that begins at `from` ends: behind its `;` or its closing brace, or, as an arm and a variant do,
/// behind its comma.
fn item_end(code: &str, from: usize) -> Option<usize> {
    let (mut depth, mut angles, mut before) = (0_i32, 0_i32, b' ');
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'<' => angles += 1,
            b'>' if before != b'-' && before != b'=' => angles -= 1,
            b'{' if depth == 0 => return closing_brace(code, at),
            b';' if depth == 0 => return Some(at + 1),
            b',' if (depth, angles) == (0, 0) => return Some(at + 1),
            _ => {}
        }
        before = byte;
    }
    None
}

/// Behind the brace that closes the one at `open`.
fn closing_brace(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at + 1),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Positions of `word` in `code` where it is a word of its own.
fn words<'c>(code: &'c str, word: &'c str) -> impl Iterator<Item = usize> + 'c {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let bytes = code.as_bytes();
        let before = at.checked_sub(1).is_none_or(|before| !is_word(bytes[before]));
        before && bytes.get(at + word.len()).is_none_or(|&after| !is_word(after))
    })
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Splits the members of a `{…}` group at their commas; `text` begins at the brace.
fn group_members(text: &str) -> Vec<String> {
    let end = closing_brace(text, 0).unwrap_or(text.len());
    let mut depth = 0_usize;
    let mut members = vec![String::new()];
    for character in text[1..end.saturating_sub(1).max(1)].chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = members.last_mut() {
            last.push(character);
        }
    }
    members
}

/// The paths that `text` begins with, groups taken apart: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if text.starts_with('{') {
        return group_members(text).iter().flat_map(|member| paths(member)).collect();
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Vec::new();
    }
    match rest.strip_prefix("::") {
        Some(rest)
            if rest
                .trim_start()
                .starts_with(|c: char| c == '{' || c == '_' || c.is_alphabetic()) =>
        {
            let mut below = paths(rest);
            below.iter_mut().for_each(|path| path.insert(0, name.to_owned()));
            below
        }
        _ => vec![vec![name.to_owned()]],
    }
}

/// Every path within the crate that a file names, absolute, with its line.
fn crate_paths(source: &Source) -> Vec<(usize, Vec<String>)> {
    let code = &source.code;
    let mut found = Vec::new();
    let mut add = |at: usize, base: &[String], rest: &str| {
        let line = line_of(code, at);
        let absolute = |path: Vec<String>| base.iter().cloned().chain(path).collect();
        found.extend(paths(rest).into_iter().map(|path| (line, absolute(path))));
    };
    for at in words(code, "crate") {
        if let Some(rest) = code[at..].strip_prefix("crate::") {
            add(at, &[], rest);
        }
    }
    for at in words(code, "super").filter(|at| !code[..*at].ends_with("::")) {
        let mut rest = &code[at..];
        let mut base = source.module.clone();
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        add(at, &base, rest);
    }
    for child in children(code) {
        for at in words(code, &child).filter(|at| !code[..*at].ends_with("::")) {
            if code[at + child.len()..].starts_with("::") {
                add(at, &source.module, &code[at..]);
            }
        }
    }
    for at in words(code, "self") {
        if let Some(rest) = code[at..].strip_prefix("self::") {
            add(at, &source.module, rest);
        }
    }
    found
}

/// The modules that a file declares.
fn children(code: &str) -> Vec<String> {
    let declared = words(code, "mod").filter_map(|at| {
        let (name, _) = code[at..].strip_prefix("mod ")?.split_once(';')?;
        let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        is_name.then(|| name.to_owned())
    });
    declared.collect()
}

/// Names what a module imports beyond what it may.
#[track_caller]
fn assert_knows_only(module: &str, allowed: &[&str]) {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.top() == module) {
        for (line, path) in crate_paths(source) {
            let joined = path.join("::");
            let fine = path.first().is_some_and(|first| first == module)
                || allowed.iter().any(|allowed| {
                    joined == *allowed || joined.starts_with(&format!("{allowed}::"))
                });
            if !fine {
                wrong.push(format!("src/{}:{line} names {joined}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{module} may know {allowed:?} only:\n{}", wrong.join("\n"));
}

#[test]
fn http_knows_no_other_module() {
    assert_knows_only("http", &[]);
}

#[test]
fn http1_knows_what_versions_share() {
    assert_knows_only("http1", &["http"]);
}

#[test]
fn http2_knows_what_versions_share() {
    assert_knows_only("http2", &["http"]);
}

#[test]
fn uring_knows_tables() {
    assert_knows_only("uring", &["table"]);
}

#[test]
fn random_knows_no_other_module() {
    assert_knows_only("random", &[]);
}

#[test]
fn table_knows_no_other_module() {
    assert_knows_only("table", &[]);
}

#[test]
fn time_knows_tables() {
    assert_knows_only("time", &["table"]);
}

#[test]
fn transport_knows_the_ring_and_time() {
    assert_knows_only("transport", &["uring", "time"]);
}

#[test]
fn telemetry_knows_http_and_time() {
    assert_knows_only("telemetry", &["http", "time"]);
}

#[test]
fn routing_knows_http() {
    assert_knows_only("routing", &["http"]);
}

#[test]
fn stickiness_knows_http_and_the_words_of_the_log() {
    assert_knows_only("stickiness", &["http", "telemetry"]);
}

#[test]
fn group_knows_stickiness_what_a_rule_forwards_to_the_numbers_it_carries_and_how_targets_prove_themselves()
 {
    let allowed = [
        "proxy_protocol",
        "tls::target",
        "http",
        "stickiness",
        "routing::actions",
        "routing::weighted",
        "telemetry::series",
        "telemetry::reason",
    ];
    assert_knows_only("group", &allowed);
}

#[test]
fn snapshot_knows_what_it_is_made_of() {
    let parts = [
        "challenges",
        "http",
        "proxy_protocol",
        "routing",
        "group",
        "stickiness",
        "telemetry",
        "tls",
    ];
    assert_knows_only("snapshot", &parts);
}

#[test]
fn listener_knows_sockets_and_the_snapshot() {
    assert_knows_only("listener", &["uring", "snapshot"]);
}

#[test]
fn exchange_knows_no_socket_no_version_of_http_and_no_shard() {
    let allowed = [
        "proxy_protocol",
        "challenges",
        "http",
        "routing",
        "group",
        "stickiness",
        "telemetry",
        "snapshot",
        "tls",
        "time",
        "random",
        "uring::buffers",
        "transport::tls::fault",
    ];
    assert_knows_only("exchange", &allowed);
}

#[test]
fn upstream_knows_the_exchange_that_asks_for_leases_and_what_they_are_made_of() {
    let allowed = [
        "exchange",
        "multiplex",
        "transport",
        "http1",
        "http2",
        "http",
        "group",
        "telemetry",
        "time",
        "tls::target",
        "uring::buffers",
    ];
    assert_knows_only("upstream", &allowed);
}

#[test]
fn multiplex_knows_neither_clients_nor_targets() {
    let allowed = [
        "exchange",
        "transport",
        "http2",
        "http",
        "telemetry::http2",
        "telemetry::number",
        "time",
        "uring::buffers",
    ];
    assert_knows_only("multiplex", &allowed);
}

#[test]
fn client_knows_no_shard_and_no_operation_of_the_ring() {
    let allowed = [
        "proxy_protocol",
        "challenges",
        "exchange",
        "multiplex",
        "upstream",
        "transport",
        "http1",
        "http2",
        "http",
        "snapshot",
        "telemetry",
        "time",
        "tls",
        "uring::buffers",
    ];
    assert_knows_only("client", &allowed);
}

#[test]
fn challenges_know_no_other_module() {
    assert_knows_only("challenges", &[]);
}

#[test]
fn proxy_protocol_knows_no_other_module() {
    assert_knows_only("proxy_protocol", &[]);
}

#[test]
fn tls_knows_what_authorities_ask() {
    assert_knows_only("tls", &["challenges"]);
}

#[test]
fn shard_knows_no_client_no_target_and_no_protocol() {
    let allowed = ["listener", "snapshot", "telemetry", "time", "uring"];
    assert_knows_only("shard", &allowed);
}

#[test]
fn numbers_that_a_state_carries_know_nobody() {
    const NUMBERS: [&str; 4] = ["number", "handshakes", "histogram", "series"];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.top() == "telemetry") {
        if !source.module.get(1).is_some_and(|name| NUMBERS.contains(&name.as_str())) {
            continue;
        }
        wrong.extend(crate_paths(source).into_iter().filter(|(_, path)| {
            path.first().is_none_or(|top| top != "telemetry")
                || path.get(1).is_none_or(|name| !NUMBERS.contains(&name.as_str()))
        }));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn files_import_each_other_in_one_direction_only() {
    let sources = sources();
    let among: Vec<&Source> =
        sources.iter().filter(|source| WITHOUT_CYCLES.contains(&source.top())).collect();
    for module in WITHOUT_CYCLES {
        assert!(among.iter().any(|source| source.top() == module), "there is no module {module}");
    }
    let whole = imports(&sources.iter().collect::<Vec<_>>());
    println!("who imports whom in the data plane:\n{}", by_module(&whole).join("\n"));
    let cycle = cycle(&imports(&among));
    assert!(cycle.is_empty(), "a cycle of imports:\n{}", cycle.join("\n"));
}

/// Who imports whom, by file; the line is the first that does.
type Imports = BTreeMap<String, BTreeMap<String, usize>>;

fn imports(sources: &[&Source]) -> Imports {
    let names: BTreeSet<String> = sources.iter().map(|source| source.module.join("::")).collect();
    // The file that has what a path names: the longest module that it begins with.
    let owner = |path: &[String]| {
        let modules = (1..=path.len()).rev().map(|length| path[..length].join("::"));
        modules.into_iter().find(|module| names.contains(module))
    };
    let mut imports = Imports::new();
    for source in sources {
        let name = source.module.join("::");
        let of_file = imports.entry(name.clone()).or_default();
        for (line, path) in crate_paths(source) {
            if let Some(owner) = owner(&path).filter(|owner| *owner != name) {
                of_file.entry(owner).or_insert(line);
            }
        }
    }
    imports
}

/// A line for each module of the data plane: whom its files import.
fn by_module(imports: &Imports) -> Vec<String> {
    fn top(file: &str) -> &str {
        file.split("::").next().unwrap_or(file)
    }
    let of = |module: &&str| {
        let files = imports.iter().filter(|(file, _)| top(file) == *module);
        let imported: BTreeSet<&str> =
            files.flat_map(|(_, imported)| imported.keys().map(|file| top(file))).collect();
        let others: Vec<&str> = imported.into_iter().filter(|other| other != module).collect();
        format!("  {module}: {}", others.join(", "))
    };
    DATA_PLANE.iter().map(of).collect()
}

/// The first way that leads back to where it began, a step a line; empty without one.
fn cycle(imports: &Imports) -> Vec<String> {
    /// Goes on from the last of `way`; `done` leads into no cycle.
    fn follow(imports: &Imports, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        let last = way.last().expect("a way begins somewhere").clone();
        for next in imports.get(&last).into_iter().flat_map(BTreeMap::keys) {
            if let Some(begin) = way.iter().position(|passed| passed == next) {
                way.drain(..begin);
                return true;
            }
            if !done.contains(next) {
                way.push(next.clone());
                if follow(imports, way, done) {
                    return true;
                }
                way.pop();
            }
        }
        done.insert(last);
        false
    }
    let mut done = BTreeSet::new();
    for start in imports.keys() {
        let mut way = vec![start.clone()];
        if !done.contains(start) && follow(imports, &mut way, &mut done) {
            let nexts = way.iter().cycle().skip(1);
            let step = |(from, to): (&String, &String)| {
                format!("{from} imports {to} in line {}", imports[from][to])
            };
            return way.iter().zip(nexts).map(step).collect();
        }
    }
    Vec::new()
}

#[test]
fn nothing_of_the_data_plane_knows_control_or_cli() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| DATA_PLANE.contains(&source.top())) {
        for (line, path) in crate_paths(source) {
            if matches!(path[0].as_str(), "control" | "cli") {
                let path = path.join("::");
                wrong.push(format!("src/{}:{line} names {path}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "the data plane looks up:\n{}", wrong.join("\n"));
}

#[test]
fn only_uring_names_the_ring_or_is_unsafe() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.top() != "uring") {
        for word in ["unsafe", "tokio_uring", "io_uring"] {
            for at in words(&source.code, word) {
                let names_a_crate = word == "unsafe"
                    || source.code[at + word.len()..].starts_with("::")
                    || source.code[..at].trim_end().ends_with("use");
                let own_module = source.code[..at].ends_with("uring::");
                if names_a_crate && !own_module {
                    let line = line_of(&source.code, at);
                    wrong.push(format!("src/{}:{line} has {word}", source.path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "outside of src/uring:\n{}", wrong.join("\n"));
}

#[test]
fn files_say_what_they_own_and_stay_short() {
    let mut wrong = Vec::new();
    for source in sources() {
        let path = source.path.display();
        if !source.raw.starts_with("//!") {
            wrong.push(format!("src/{path} does not begin with what it owns (//!)"));
        }
        let lines = source
            .raw
            .lines()
            .zip(source.code.lines())
            .filter(|(raw, code)| {
                raw.trim().is_empty() || !code.trim().is_empty() || is_comment(raw)
            })
            .count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("src/{path} has {lines} lines, more than {FILE_LINES_MAX}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[test]
fn functions_stay_short() {
    let mut wrong = Vec::new();
    let mut lengths = Vec::new();
    for source in sources() {
        for at in words(&source.code, "fn") {
            let Some(end) = item_end(&source.code, at) else { continue };
            let lines = source.code[at..end].matches('\n').count() + 1;
            lengths.push(lines);
            if lines > FUNCTION_LINES_MAX {
                let (path, line) = (source.path.display(), line_of(&source.code, at));
                wrong.push(format!("src/{path}:{line} has a function of {lines} lines"));
            }
        }
    }
    assert!(wrong.is_empty(), "longer than {FUNCTION_LINES_MAX} lines:\n{}", wrong.join("\n"));
    lengths.sort_unstable();
    let p95 = lengths[lengths.len() * 95 / 100];
    assert!(p95 <= FUNCTION_LINES_P95_MAX, "of a hundred functions 95 have up to {p95} lines");
}

#[test]
fn nothing_is_left_for_later() {
    let mut wrong = Vec::new();
    for source in sources() {
        for mark in ["TODO", "FIXME", "XXX"] {
            wrong.extend(
                words(&source.raw, mark).map(|at| {
                    format!("src/{}:{}", source.path.display(), line_of(&source.raw, at))
                }),
            );
        }
        for word in ["todo!", "unimplemented!"] {
            wrong.extend(source.code.match_indices(word).map(|(at, _)| {
                format!("src/{}:{}", source.path.display(), line_of(&source.code, at))
            }));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_sources_understands_rust() {
    let raw = r##"
//! unsafe
fn a<'a>(x: &'a str) -> char { /* unsafe /* unsafe */ */ let q = '"'; let r = r#"unsafe " "#; '\'' }
use crate::{b::c, d::{e, f}};
use super::super::g;
#[cfg(test)]
mod tests { fn b() { unsafe {} } }
fn c() {}
enum D { #[cfg(test)] E([u8; 2], unsafe), F }
fn g(d: D) -> u8 { match d { #[cfg(test)] D::E(..) => unsafe(1, 2), D::F => 2 } }
"##;
    let code = without_tests(&without_text(raw));
    assert_eq!(code.len(), raw.len());
    assert_eq!(words(&code, "unsafe").count(), 0, "{code}");
    assert_eq!(words(&code, "fn").count(), 3, "{code}");
    assert_eq!(words(&code, "F").count(), 2, "{code}");
    let module = ["x", "y", "z"].map(str::to_owned).to_vec();
    let source = Source { path: "x/y/z.rs".into(), module, raw: raw.into(), code };
    let paths: Vec<String> = crate_paths(&source).iter().map(|(_, path)| path.join("::")).collect();
    assert_eq!(paths, ["b::c", "d::e", "d::f", "x::g"]);
}

#[test]
fn the_reader_of_imports_finds_a_cycle() {
    let file = |module: &str, code: &str| Source {
        path: module.replace("::", "/").into(),
        module: module.split("::").map(str::to_owned).collect(),
        raw: code.into(),
        code: code.into(),
    };
    let files = |of_child: &str| {
        [
            file("a", "mod b;\nuse b::B; fn f(x: crate::c::C) {}"),
            file("a::b", of_child),
            file("c", "pub struct C;"),
        ]
    };
    let of = |files: [Source; 3]| cycle(&imports(&files.iter().collect::<Vec<_>>()));
    assert!(of(files("use crate::c::C;")).is_empty());
    let both = of(files("\nuse super::A;"));
    assert_eq!(both, ["a imports a::b in line 2", "a::b imports a in line 2"]);
    let files = [file("time::clock", "use crate::table::A;"), file("table", "pub struct A;")];
    let printed = by_module(&imports(&files.iter().collect::<Vec<_>>()));
    assert!(printed.iter().any(|line| line == "  time: table"), "{printed:?}");
}
