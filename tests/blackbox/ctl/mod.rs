//! `limpet ctl` against a limpet that runs: every command, for people and as JSON, with its exit code.

mod changing;
mod places;
mod reading;
mod whole;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{Config, Limpet, Target, config, group};

/// What one command said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn of(output: Output) -> Said {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Said {
            code: output.status.code().expect("an exit code"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    #[track_caller]
    fn exits(self, code: i32) -> Said {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Standard output has all of these.
    #[track_caller]
    fn has(self, pieces: &[&str]) -> Said {
        for piece in pieces {
            assert!(self.out.contains(piece), "no {piece:?} in {self:#?}");
        }
        self
    }

    #[track_caller]
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// The program at this admin API, with an environment in which nothing is set that it looks at.
fn command(admin: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limpet"));
    command.args(["ctl", "--admin", admin]).env("USER", "tester").stdin(Stdio::null());
    for name in ["SUDO_USER", "LIMPET_ADMIN", "LIMPET_TOKEN"] {
        command.env_remove(name);
    }
    command
}

/// Runs words that are separated by spaces.
#[track_caller]
fn ctl(limpet: &Limpet, words: &str) -> Said {
    let socket = limpet.admin().socket;
    let mut command = command(socket.to_str().expect("a path"));
    Said::of(command.args(words.split(' ')).output().expect("run limpet ctl"))
}

/// Runs a command that must succeed, and hands back what it printed.
#[track_caller]
fn done(limpet: &Limpet, words: &str) -> String {
    let said = ctl(limpet, words).exits(0);
    assert_eq!(said.err, "", "{words}");
    said.out
}

/// Runs a command that must be refused with this exit code and these words.
#[track_caller]
fn refused(limpet: &Limpet, words: &str, code: i32, pieces: &[&str]) {
    let said = ctl(limpet, words).exits(code);
    assert_eq!(said.out, "", "{words}");
    for piece in pieces {
        assert!(said.err.contains(piece), "no {piece:?} in {said:#?}");
    }
}

/// The JSON of a command that must succeed.
#[track_caller]
fn json(limpet: &Limpet, words: &str) -> serde_json::Value {
    ctl(limpet, &format!("--json {words}")).exits(0).json()
}

/// A sticky group of two in front of which limpet runs, with the admin API on its socket.
fn pair(a: &Target, b: &Target) -> Config {
    config().with_admin().group(group("app").sticky().target("a", a).target("b", b))
}

fn serving() -> (Limpet, Target, Target) {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    (pair(&a, &b).start(), a, b)
}

/// The lines of a table without its head, split into words.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect()
}

/// The file as limpet has it on its disk.
fn file(limpet: &Limpet) -> String {
    read(&limpet.path("limpet.toml"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
