//! `limpet help` as a user runs it.

use std::process::{Command, Output};

fn limpet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_limpet")).args(arguments).output().expect("run limpet")
}

fn stdout(arguments: &[&str]) -> String {
    let output = limpet(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn without_a_topic_commands_and_topics_are_listed() {
    let text = stdout(&["help"]);
    for topic in [
        "config",
        "stickiness",
        "health",
        "drain",
        "reload",
        "access-log",
        "metrics",
        "signals",
        "security",
        "ctl",
    ] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(topic)), "{topic}: {text}");
        assert!(stdout(&["help", topic]).lines().count() > 5, "{topic}");
    }
    for command in ["run", "check", "explain", "settings"] {
        assert!(text.contains(&format!("  {command} ")), "{command}: {text}");
    }
}

#[test]
fn a_command_is_explained_as_by_its_own_option() {
    let by_option = stdout(&["run", "--help"]);
    assert_eq!(stdout(&["help", "run"]).trim(), by_option.trim());
}

#[test]
fn an_unknown_topic_is_refused_with_what_was_meant() {
    let output = limpet(&["help", "stickyness"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(stderr.contains("did you mean stickiness?"), "{stderr}");
}

#[test]
fn the_fields_of_a_template_are_listed() {
    let text = stdout(&["help", "access-log"]);
    for field in
        ["time", "total_us", "ended_cause", "target_address", "sni", "tls_client_certificate"]
    {
        assert!(text.contains(&format!("\n  {field} ")), "{field}: {text}");
    }
}
