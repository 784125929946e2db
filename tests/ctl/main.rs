//! `limpet ctl` as a user runs it, against a server that says what the admin API says: what is sent, what
//! is printed, and the exit code.

#[path = "../tls/authority.rs"]
mod authority;
mod commands;
mod fake;
mod following;
mod reaching;
mod refusals;
mod secure;

use std::process::{Command, Output, Stdio};

use fake::Fake;

/// The program with an environment in which nothing is set that it looks at.
fn limpet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limpet"));
    command
        .args(arguments)
        .env("USER", "tester")
        .env_remove("SUDO_USER")
        .env_remove("LIMPET_ADMIN")
        .env_remove("LIMPET_TOKEN")
        .env_remove("LIMPET_CA")
        .env_remove("LIMPET_CERT")
        .env_remove("LIMPET_KEY")
        .env_remove("LIMPET_SERVER_NAME")
        .stdin(Stdio::null());
    command
}

/// Runs `limpet ctl` against the server.
fn ctl(fake: &Fake, arguments: &[&str]) -> Output {
    limpet(&[&["ctl", "--admin", &fake.admin], arguments].concat()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Standard output of a command that must succeed.
#[track_caller]
fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

/// Standard error of a command that must fail so.
#[track_caller]
fn failed(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    text(&output.stderr)
}

#[track_caller]
fn assert_has(text: &str, pieces: &[&str]) {
    for piece in pieces {
        assert!(text.contains(piece), "no {piece:?} in\n{text}");
    }
}
