//! `limpet check`, `limpet explain` and `limpet settings` as a user runs them: output and exit codes.

use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use limpet::stickiness::cookie::{Codec, Plain, Scope};
use limpet::stickiness::keyring::{KeyRing, format_secret};
use limpet::stickiness::seal::SealCodec;
use limpet::stickiness::stable_key::stable_key;

const SECRET: [u8; 32] = [7; 32];

fn limpet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_limpet")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn config(name: &str) -> String {
    format!("{}/config/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A configuration in a directory of its own.
struct Written {
    _home: tempfile::TempDir,
    path: String,
}

fn written(contents: &str) -> Written {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("limpet.toml");
    fs::write(&path, contents).unwrap();
    Written { path: path.to_str().unwrap().to_owned(), _home: home }
}

/// Two listeners, a sticky group and a sticky rule.
fn example() -> Written {
    written(&format!(
        r#"
        [stickiness_keys]
        keys = [{{ id = 1, secret = "{}" }}]

        [[listener]]
        name = "public"
        address = "127.0.0.1:8080"
        forward = "shop"
        [[listener.rule]]
        name = "office"
        priority = 10
        when = {{ path = ["/admin/*"], source = ["192.0.2.0/24"] }}
        forward = "shop"
        rewrite.strip_prefix = "/admin"
        [[listener.rule]]
        priority = 20
        when.path = ["/admin/*"]
        respond = {{ status = 404 }}
        [[listener.rule]]
        name = "old"
        priority = 30
        when.host = ["old.example"]
        redirect.to = "https://new.example/#{{path}}?#{{query}}"
        [[listener.rule]]
        name = "split"
        priority = 40
        when.path = ["/split"]
        forward = {{ groups = [{{ group = "shop" }}, {{ group = "plain" }}], sticky.enabled = true }}

        [[listener]]
        name = "inside"
        address = "unix:/run/limpet-test.sock"
        forward = "plain"

        [[target_group]]
        name = "shop"
        stickiness.enabled = true
        target = [
            {{ id = "one", address = "127.0.0.1:9001" }},
            {{ id = "two", address = "127.0.0.1:9002", state = "draining" }},
        ]
        [[target_group]]
        name = "plain"
        algorithm = "hash"
        hash_on = "header:X-User"
        target = [{{ id = "p", address = "127.0.0.1:9003" }}]
        "#,
        format_secret(&SECRET)
    ))
}

fn explain(config: &Written, request: &str, more: &[&str]) -> String {
    let arguments = ["explain", "--config", &config.path, "--request", request];
    let output = limpet(&[&arguments[..], more].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn assert_has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
}

/// The Cookie field of a session that was seen so many seconds ago.
fn cookie(scope: &Scope, target: &str, group: &str, seen_s_ago: u64) -> String {
    let ring = Arc::new(KeyRing::from_secrets(&[(1, SECRET)]).unwrap());
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let plain = Plain {
        generation: 0,
        group: stable_key(group),
        target: stable_key(target),
        home: stable_key(target),
        session: 42,
        issued_s: now_s - seen_s_ago,
        last_seen_s: now_s - seen_s_ago,
    };
    let value = Codec::new(scope, ring).seal(&plain, [9; 12]).unwrap();
    format!("Cookie: limpet_{}={}", scope.name(), text(&value))
}

#[test]
fn check_says_what_a_right_file_declares_and_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["example.com", "*.example.com", "example.net", "*.example.net"].map(String::from);
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    for (name, pem) in [("pem", certificate.pem()), ("key", key.serialize_pem())] {
        std::fs::write(folder.path().join(format!("example.com.{name}")), pem).unwrap();
    }
    let edge = std::fs::read_to_string(config("edge.toml")).unwrap();
    let edge = edge.replace("/etc/limpet/tls", &folder.path().to_string_lossy());
    let file = folder.path().join("edge.toml");
    std::fs::write(&file, edge).unwrap();
    let output = limpet(&["check", "--config", &file.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_has(
        &text(&output.stdout),
        &[
            "edge.toml: right",
            "public",
            "7 rules, otherwise forward to shop",
            "least_outstanding_requests, 3 targets (1 draining), sticky by lb_cookie for 30m \
             without a request, 12h at most",
            "sticky by app_cookie JSESSIONID",
        ],
    );
}

#[test]
fn check_says_where_new_users_go_and_what_was_meant() {
    let file = |new_sessions: &str| {
        written(&format!(
            r#"
            [[listener]]
            name = "web"
            address = "127.0.0.1:0"
            forward = "shop"
            [[target_group]]
            name = "shop"
            stickiness = {{ enabled = true, {new_sessions} }}
            target = [{{ address = "127.0.0.1:1" }}]
            "#
        ))
    };
    let check = |file: &Written| limpet(&["check", "--config", &file.path]);
    let right = check(&file("new_sessions = \"least_sessions\""));
    assert_has(&text(&right.stdout), &["at most, new users by least_sessions"]);
    let by_algorithm = check(&file("new_sessions = \"algorithm\""));
    assert!(!text(&by_algorithm.stdout).contains("new users by"));
    for (written, meant) in [
        ("new_sessions = \"least_session\"", "least_sessions"),
        ("new_session = \"least_sessions\"", "new_sessions"),
    ] {
        let wrong = check(&file(written));
        assert_eq!(wrong.status.code(), Some(2));
        assert_has(&text(&wrong.stderr), &[&format!("did you mean {meant:?}?")]);
    }
}

/// A group by a session id in a field, with more settings of its stickiness.
fn by_field(more: &str) -> Written {
    written(&format!(
        r#"
        [stickiness_keys]
        keys = [{{ id = 1, secret = "{}" }}]
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        forward = "tools"
        [[target_group]]
        name = "tools"
        stickiness = {{ enabled = true, type = "app_header", app_header = "Mcp-Session-Id", {more} }}
        target = [{{ id = "one", address = "127.0.0.1:1" }}, {{ id = "two", address = "127.0.0.1:2" }}]
        "#,
        format_secret(&SECRET)
    ))
}

#[test]
fn check_says_what_a_session_id_in_a_field_needs_and_what_does_nothing_with_it() {
    let check = |more: &str| limpet(&["check", "--config", &by_field(more).path]);
    let right = check("on_lost = 404");
    assert_has(&text(&right.stdout), &["sticky by app_header Mcp-Session-Id for 7d at most"]);
    assert!(!text(&right.stderr).contains("has no effect"), "{}", text(&right.stderr));
    let idle = check("duration = \"2h\"");
    assert_eq!(idle.status.code(), Some(0));
    let said = text(&idle.stdout) + &text(&idle.stderr);
    assert_has(&said, &["\"tools\" is sticky by app_header, and duration = \"2h\" has no effect"]);
    for (more, said) in [
        ("on_lots = 404", "did you mean \"on_lost\"?"),
        ("on_lost = \"404\"", "a number without quotes, such as 404"),
    ] {
        let wrong = check(more);
        assert_eq!(wrong.status.code(), Some(2));
        assert_has(&text(&wrong.stderr), &[said]);
    }
}

#[test]
fn explain_takes_a_session_id_alone_and_says_what_its_seal_says() {
    let ring = Arc::new(KeyRing::from_secrets(&[(1, SECRET)]).unwrap());
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let plain = Plain {
        generation: 0,
        group: stable_key("tools"),
        target: stable_key("two"),
        home: stable_key("two"),
        session: 42,
        issued_s: now_s - 7_200,
        last_seen_s: now_s - 7_200,
    };
    let codec = SealCodec::new(&Scope::Group("tools".into()), ring);
    let seal = codec.seal(b"6f1e-4b", &plain, [9; 12]).unwrap();
    let pasted = format!("mcp-session-id: 6f1e-4b.{}", text(&seal));
    let said = explain(&by_field("on_lost = 404"), &pasted, &[]);
    assert_has(
        &said,
        &[
            "request    GET /, host localhost",
            "session id in Mcp-Session-Id, 7d at most, 404 when it is lost",
            "seal       group tools, target two, issued 2h ago",
            "verdict    valid: group tools, target two",
        ],
    );
    let said = explain(&by_field(""), "Mcp-Session-Id: 6f1e-4b", &[]);
    assert_has(&said, &["verdict    new: no sealed session id"]);
}

#[test]
fn check_notes_every_group_that_nobody_checks() {
    let output = limpet(&["check", "--config", &example().path]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for group in ["shop", "plain"] {
        let note = format!("note: nobody checks the targets of target group {group:?}, whose ");
        assert_has(&text(&output.stderr), &[&note]);
    }
    let checked = limpet(&["check", "--config", &config("minimal.toml")]);
    assert_eq!(text(&checked.stderr), "", "somebody checks its targets");
}

#[test]
fn check_reports_every_mistake_on_stderr_and_exits_2() {
    let file = written(
        "[process]\nshard = 4\n\n[[listener]]\nname = \"web\"\naddress = \"0.0.0.0\"\nforward = \"app\"\n",
    );
    let output = limpet(&["check", "--config", &file.path]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let report = text(&output.stderr);
    let path = &file.path;
    assert_has(
        &report,
        &[
            &format!("{path}:2:1: process.shard: is an unknown key, did you mean \"shards\"?"),
            &format!("{path}:6:11: listener[web].address: has no port; found \"0.0.0.0\""),
            &format!("{path}:7:11: listener[web].forward: is no target group; found \"app\""),
            "3 problems",
        ],
    );
}

#[test]
fn run_refuses_a_wrong_file_as_check_does_and_starts_nothing() {
    let file = written("[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n");
    let output = limpet(&["run", "--config", &file.path]);
    assert_eq!(output.status.code(), Some(2));
    assert_has(&text(&output.stderr), &["has nothing for the default action", "1 problem"]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_configuration_error() {
    let output = limpet(&["check", "--config", "/nonexistent/limpet.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_has(&text(&output.stderr), &["/nonexistent/limpet.toml: cannot be read: No such file"]);
}

#[test]
fn looking_at_a_file_writes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let file = written(&format!(
        "process.state_directory = {state:?}\n[[listener]]\nname = \"w\"\naddress = \"127.0.0.1:0\"\nrespond = {{}}\n"
    ));
    assert!(limpet(&["check", "--config", &file.path]).status.success());
    explain(&file, "GET /", &[]);
    assert!(!state.exists());
}

#[test]
fn explain_names_listener_rule_and_group_with_the_reasons() {
    let example = example();
    let from_office = explain(&example, "GET /admin/users", &["--source", "192.0.2.7"]);
    assert_has(
        &from_office,
        &[
            "listener   public (127.0.0.1:8080): the first of public, inside",
            "office (priority 10): matches",
            "the target sees the path /users",
            "group      shop: round_robin",
            "one (127.0.0.1:9001, weight 1, unchecked)",
            "two (127.0.0.1:9002, weight 1, draining)",
            "stickiness cookie limpet_shop, 1d without a request, 7d at most",
            "verdict    new: no cookie that counts",
        ],
    );
    let from_elsewhere = explain(&example, "GET /admin/users", &["--source", "198.51.100.1"]);
    assert_has(
        &from_elsewhere,
        &["office (priority 10): no, source is not in", "rule-20 (priority 20): matches", "404"],
    );
    assert!(!from_elsewhere.contains("group "));
    let inside = explain(&example, "GET /", &["--listener", "inside"]);
    assert_has(
        &inside,
        &[
            "inside (unix:/run/limpet-test.sock): as asked",
            "hash of the field X-User",
            "off: every",
        ],
    );
}

#[test]
fn explain_matches_and_shows_the_normal_form_of_the_path() {
    let explained = explain(&example(), "GET /x/../%61dmin//users", &["--source", "192.0.2.7"]);
    assert_has(&explained, &["normal form: /admin/users", "office (priority 10): matches"]);
}

#[test]
fn explain_shows_where_a_redirect_leads() {
    let host = ["--header", "Host: old.example"];
    let explained = explain(&example(), "GET /a?b=c", &host);
    assert_has(&explained, &["location   https://new.example/a?b=c"]);
}

#[test]
fn explain_shows_refusals_as_the_listener_would_answer_them() {
    let refused = explain(&example(), "GET /", &["--header", "Content-Length: 1, 1"]);
    assert_has(&refused, &["refused    400, ", "nothing is forwarded"]);
    let climbing = explain(&example(), "GET /../etc/passwd", &[]);
    assert_has(&climbing, &["refused    400, "]);
}

#[test]
fn explain_judges_the_cookie_by_the_table() {
    let example = example();
    let shop = Scope::Group("shop".into());
    let verdict = |request: &str, field: &str| {
        let explained = explain(&example, request, &["--header", field]);
        let line = explained.lines().find(|line| line.starts_with("verdict")).unwrap().to_owned();
        line.trim_start_matches("verdict").trim().to_owned()
    };
    let of =
        |target: &str, seen_s_ago| verdict("GET /", &cookie(&shop, target, "shop", seen_s_ago));
    assert_eq!(of("one", 10), "valid: group shop, target one");
    assert_eq!(of("two", 10), "draining: group shop, target two");
    assert_eq!(of("three", 10), "removed: group shop, target one");
    assert!(of("one", 2 * 86_400).starts_with("expired_idle"));
    assert!(of("one", 8 * 86_400).starts_with("expired_age"));
    assert!(verdict("GET /", "Cookie: limpet_shop=forged").starts_with("invalid"));
    let split = Scope::Rule("split".into());
    let field = cookie(&split, "p", "plain", 10);
    assert_eq!(verdict("GET /split", &field), "valid: group plain, target p");
}

#[test]
fn explain_refuses_an_unknown_listener_with_what_there_is() {
    let example = example();
    let output = limpet(&[
        "explain",
        "--config",
        &example.path,
        "--request",
        "GET /",
        "--listener",
        "publik",
    ]);
    assert_eq!(output.status.code(), Some(2), "a command line that is refused");
    assert_has(&text(&output.stderr), &["no listener \"publik\"; there is public, inside"]);
}

#[test]
fn settings_are_listed_with_default_range_and_sentence() {
    let output = limpet(&["settings", "target_group.stickiness"]);
    assert!(output.status.success());
    let listed = text(&output.stdout);
    assert_has(
        &listed,
        &[
            "target_group.stickiness.duration = \"1d\"",
            "a duration from \"1s\" to \"7d\"",
            "target_group.stickiness.app_cookie  (no default)",
        ],
    );
    assert!(!listed.contains("listener"));
    assert!(text(&limpet(&["settings"]).stdout).contains("listener.address  (needed)"));
}

#[test]
fn help_teaches_with_examples_and_the_version_is_shown() {
    for command in ["run", "check", "explain", "demo", "settings"] {
        let output = limpet(&[command, "--help"]);
        assert!(output.status.success());
        if command != "demo" {
            assert_has(&text(&output.stdout), &["Example", &format!("limpet {command} ")]);
        }
    }
    assert_has(&text(&limpet(&["--help"]).stdout), &["Examples:", "Exit codes:"]);
}

#[test]
fn the_version_names_the_commit_that_the_program_was_made_from() {
    let version = text(&limpet(&["--version"]).stdout);
    let plain = format!("limpet {}", env!("CARGO_PKG_VERSION"));
    let head = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success());
    // Sources that were unpacked somewhere are of no commit.
    let Some(head) = head else {
        assert_eq!(version, format!("{plain}\n"));
        return;
    };
    let commit = version.trim_end().strip_prefix(&format!("{plain} (")).unwrap();
    let commit = commit.strip_suffix(')').unwrap();
    assert!(commit.len() >= 7 && text(&head.stdout).starts_with(commit), "{version}");
}

#[test]
fn a_setting_or_a_topic_that_there_is_not_is_answered_with_those_that_there_are() {
    let refused = |arguments: &[&str]| {
        let output = limpet(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "");
        text(&output.stderr)
    };
    for (key, lines) in [
        ("listner", ["\"listner\", did you mean listener?", "the file has:  process, access_log"]),
        ("nope", ["there is no setting \"nope\"\n", "listener, target_group\n"]),
        (
            "listener.timeouts.hed",
            [
                "did you mean listener.timeouts.head?",
                "listener.timeouts has:  handshake, head, content_idle",
            ],
        ),
        (
            "target_group.stickiness.timeout.x",
            ["\"target_group.stickiness.timeout.x\"", "stickiness has:  enabled"],
        ),
    ] {
        assert_has(&refused(&["settings", key]), &lines);
    }
    assert_has(
        &refused(&["help", "acces-log"]),
        &["no topic \"acces-log\", did you mean access-log?", "topics:    config, stickiness"],
    );
    assert_has(&refused(&["help", "nonsense"]), &["signals", "commands:  run, check, explain"]);
    assert_has(&refused(&["help", "chek"]), &["did you mean check?"]);
    for key in ["listener[web].rule[#1].when.path", "listener.answers.503.body", "target_group."] {
        assert_eq!(limpet(&["settings", key]).status.code(), Some(0), "{key}");
    }
}
