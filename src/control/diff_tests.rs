use crate::control::config::{parse_complete, schema};
use crate::control::diff::*;

const SECRET: &str = "bGltcGV0cyBmaW5kIHRoZWlyIGhvbWUgc2NhciBhZ2E=";

const FILE: &str = r#"
[stickiness_keys]
keys = [{ id = 1, secret = "bGltcGV0cyBmaW5kIHRoZWlyIGhvbWUgc2NhciBhZ2E=" }]
[[listener]]
name = "web"
address = "127.0.0.1:80"
forward = "app"
[listener.answers.503]
body = "soon"
[[listener.rule]]
priority = 10
when.path = ["/x"]
forward = "app"
[[listener.rule]]
name = "api"
priority = 20
when.path = ["/api/*"]
forward = "app"
[[target_group]]
name = "app"
target = [{ id = "a", address = "127.0.0.1:1" }, { id = "b", address = "127.0.0.1:2" }, { address = "127.0.0.1:3" }]
[[target_group]]
name = "old"
target = [{ address = "127.0.0.1:4" }]
"#;

fn found(before: &str, after: &str) -> Vec<Difference> {
    let parse = |text: &str| parse_complete(text.to_owned(), "test.toml").unwrap().complete;
    let sessions = |group: &str, target: &str| match (group, target) {
        ("app", "a") => Some(400),
        ("app", "b") => Some(10),
        ("old", _) => Some(1),
        _ => None,
    };
    differences(&parse(before), &parse(after), &sessions).listed()
}

fn texts(changes: &[(&str, &str)]) -> Vec<String> {
    let mut after = FILE.to_owned();
    for (from, to) in changes {
        assert!(after.contains(from), "{from}");
        after = after.replacen(from, to, 1);
    }
    found(FILE, &after).into_iter().map(|one| one.text).collect()
}

type Changes = Vec<(&'static str, &'static str)>;

/// Each change with its sentence.
fn said(table: &[(Changes, &str)]) {
    for (changes, expected) in table {
        let texts = texts(changes);
        assert_eq!(texts.first().map(String::as_str), Some(*expected), "{texts:?}");
    }
}

#[test]
fn targets_are_counted_with_the_sessions_bound_to_them() {
    let (a, b) = (
        "{ id = \"a\", address = \"127.0.0.1:1\" }, ",
        "{ id = \"b\", address = \"127.0.0.1:2\" }, ",
    );
    said(&[
        (
            vec![(a, ""), (b, "")],
            "2 targets removed from app, about 410 live sessions bound to them: a, b",
        ),
        (vec![(b, "")], "target b removed from app, about 10 live sessions bound to it"),
        (vec![(", { address = \"127.0.0.1:3\" }", "")], "target 127.0.0.1:3 removed from app"),
        (
            vec![("address = \"127.0.0.1:2\"", "address = \"127.0.0.1:2\", weight = 5")],
            "target b of app: weight 1 → 5",
        ),
        (
            vec![("{ id = \"a\"", "{ address = \"127.0.0.1:9\" }, { id = \"a\"")],
            "target 127.0.0.1:9 added to app",
        ),
    ]);
}

#[test]
fn settings_are_said_from_what_to_what() {
    said(&[
        (
            vec![(
                "forward = \"app\"\n[listener.answers",
                "timeouts.keep_alive = \"60s\"\nforward = \"app\"\n[listener.answers",
            )],
            "listener web: timeouts.keep_alive \"75s\" → \"60s\"",
        ),
        (
            vec![("body = \"soon\"", "body = \"later\"")],
            "listener web: answers.503.body \"soon\" → \"later\"",
        ),
        (
            vec![(
                "name = \"web\"\n",
                "name = \"web\"\nproxy_protocol = \"v2\"\nproxy_protocol_from = \"any\"\n",
            )],
            "listener web: proxy_protocol \"off\" → \"v2\"",
        ),
        (
            vec![(
                "forward = \"app\"\n[listener.answers",
                "forward = { groups = [{ group = \"app\" }, { group = \"old\" }] }\n[listener.answers",
            )],
            "listener web: forward \"app\" → { groups = [{ group = \"app\", weight = 1 }, { group = \"old\", …",
        ),
        (vec![("priority = 20", "priority = 30")], "rule api of listener web: priority 20 → 30"),
        (
            vec![("[\"/x\"]", "[\"/y\"]")],
            "rule rule-10 of listener web: when.path [\"/x\"] → [\"/y\"]",
        ),
        (
            vec![(
                "[[target_group]]\nname = \"old\"\ntarget = [{ address = \"127.0.0.1:4\" }]\n",
                "",
            )],
            "target group old removed, with 1 target, about 1 live session bound to it",
        ),
        (
            vec![("name = \"app\"\ntarget", "name = \"app\"\nstickiness.enabled = true\ntarget")],
            "target group app: stickiness.enabled false → true",
        ),
        (
            vec![(
                "name = \"app\"\ntarget",
                "name = \"app\"\nalgorithm = \"hash\"\nhash_on = \"source\"\ntarget",
            )],
            "target group app: algorithm \"round_robin\" → \"hash\"",
        ),
        (vec![("id = 1,", "id = 2,")], "stickiness keys: 1 → 2"),
        (
            vec![("secret = \"bGlt", "secret = \"cGlt")],
            "stickiness keys: the secret of key 1 is another one",
        ),
    ]);
}

#[test]
fn names_that_come_and_go_are_added_and_removed() {
    let rule = "[[listener.rule]]\nname = \"api\"\npriority = 20\nwhen.path = [\"/api/*\"]\nforward = \"app\"\n";
    assert_eq!(texts(&[(rule, "")]), ["rule api of listener web removed"]);
    assert_eq!(
        texts(&[("name = \"api\"", "name = \"v1\"")]),
        ["rule api of listener web removed", "rule v1 of listener web added",]
    );
    assert_eq!(
        texts(&[("name = \"web\"", "name = \"www\"")]),
        ["listener web removed, with 127.0.0.1:80", "listener www added, on 127.0.0.1:80",]
    );
    assert_eq!(
        texts(&[("name = \"old\"", "name = \"new\"")]),
        [
            "target group old removed, with 1 target, about 1 live session bound to it",
            "target group new added, with 1 target",
        ]
    );
}

#[test]
fn order_and_defaults_are_no_difference() {
    let (first, second) = FILE.split_once("[[target_group]]\nname = \"old\"").unwrap();
    let (listener, group) = first.split_once("[[target_group]]").unwrap();
    let turned = format!(
        "{listener}[[target_group]]\nname = \"old\"{second}[[target_group]]{}",
        group.replace("name = \"app\"", "name = \"app\"\nslow_start = \"0s\"")
    );
    assert_eq!(found(FILE, &turned), []);
}

#[test]
fn what_needs_a_restart_is_marked_and_secrets_are_not_shown() {
    let process = "process.log_level = \"debug\"\naccess_log.sample = 5\nadmin.token = \"tell-nobody-of-this-token\"\n";
    let after = format!("{process}{FILE}").replace("bGlt", "cGlt");
    let differences = found(FILE, &after);
    let all: Vec<(&str, &str, bool)> =
        differences.iter().map(|one| (one.kind, one.text.as_str(), one.needs_restart)).collect();
    assert_eq!(
        all,
        [
            ("process", "process: log_level \"info\" → \"debug\"", false),
            ("access_log", "access_log: sample 1 → 5", false),
            ("admin", "admin: token is set", true),
            ("stickiness_keys", "stickiness keys: the secret of key 1 is another one", false),
        ]
    );
    let other = after.replace("tell-nobody-of-this-token", "tell-nobody-of-that-token");
    assert_eq!(found(&after, &other)[0].text, "admin: token is another one");
    assert!(differences.iter().all(|one| !one.text.contains(&SECRET[4..])));
}

/// The difference of any setting of a group is found, under its own name.
#[test]
fn no_setting_of_a_group_is_forgotten() {
    let text = |lines: &str| {
        format!(
            "[[listener]]\nname = \"w\"\naddress = \"127.0.0.1:1\"\nforward = \"a\"\n[[target_group]]\nname = \"a\"\n{lines}\n"
        )
    };
    for line in [
        "connection_limit = 3",
        "deregistration_delay = \"7m\"",
        "health_check.fall = 9",
        "fail_open.percent = 7",
        "ejection.errors = 4",
        "timeouts.connect = \"7s\"",
        "limits.response_head = \"32KiB\"",
        "pool.idle_per_shard = 7",
        "retries.count = 7",
        "stickiness.session_cookies = [\"X\"]",
    ] {
        let differences = found(&text(""), &text(line));
        let key = line.split(' ').next().unwrap();
        let kind = if key.starts_with("stickiness") { "stickiness" } else { "group" };
        assert_eq!(differences.len(), 1, "{line}");
        assert_eq!(differences[0].kind, kind);
        assert!(differences[0].text.starts_with(&format!("target group a: {key} ")), "{line}");
    }
}

#[test]
fn of_many_differences_the_first_are_said_and_the_rest_is_counted() {
    let text = |weight: u32| {
        let targets = (1..=150).map(|port| {
            format!(r#"{{ id = "t{port}", address = "127.0.0.1:{port}", weight = {weight} }}"#)
        });
        let targets = targets.collect::<Vec<_>>().join(", ");
        format!(
            r#"listener = [{{ name = "web", address = "127.0.0.1:80", forward = "a" }}]
            target_group = [{{ name = "a", target = [{targets}] }}]"#
        )
    };
    let differences = found(&text(1), &text(2));
    assert_eq!(differences.len(), DIFFERENCES_MAX + 1);
    assert_eq!(differences[0].text, "target t1 of a: weight 1 → 2");
    assert_eq!(differences[99].text, "target t100 of a: weight 1 → 2");
    let last = differences.last().unwrap();
    assert_eq!((last.kind, &*last.text), ("more", "and 50 more"));
}

#[test]
fn what_waits_for_a_restart_is_always_said() {
    let sections = ["process.", "access_log.", "admin."];
    let is_first = |path: &str| sections.iter().any(|section| path.starts_with(section));
    let count = schema::listing().iter().filter(|one| is_first(&one.path)).count();
    assert!(count < DIFFERENCES_MAX, "{count}");
}

#[test]
fn sessions_are_asked_for_only_where_they_are_told() {
    let group = |number| {
        format!(
            "[[target_group]]\nname = \"g{number}\"\ntarget = [{{ address = \"127.0.0.1:1\" }}]\n"
        )
    };
    let before: String = (0..1_000).map(group).collect();
    let asked = std::cell::Cell::new(0);
    let sessions = |_: &str, _: &str| {
        asked.set(asked.get() + 1);
        None
    };
    let parse = |text: &str| parse_complete(text.to_owned(), "test.toml").unwrap().complete;
    let listener = "[[listener]]\nname = \"w\"\naddress = \"127.0.0.1:0\"\nrespond.status = 204\n";
    let (before, after) = (parse(&format!("{listener}{before}")), parse(listener));
    let found = differences(&before, &after, &sessions);
    assert_eq!(found.said.len() + found.more, 1_000);
    assert_eq!(asked.get(), found.said.len());
}
