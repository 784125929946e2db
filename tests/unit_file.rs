//! config/limpet.service as systemd reads it; skipped where systemd's tools are not installed.

use std::process::{Command, Output};

/// What `systemd-analyze` says of a copy of the unit that starts the program under test.
fn analyze(arguments: &[&str]) -> Option<Output> {
    let home = tempfile::tempdir().expect("a temporary directory");
    let unit = include_str!("../config/limpet.service");
    let path = home.path().join("limpet.service");
    std::fs::write(&path, unit.replace("/usr/bin/limpet", env!("CARGO_BIN_EXE_limpet")))
        .expect("write the unit");
    match Command::new("systemd-analyze").args(arguments).arg(path).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: systemd-analyze: {error}");
            None
        }
    }
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let Some(output) = analyze(&["verify", "--man=no"]) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("limpet.service")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_sandbox_is_a_tight_one() {
    // 2.0 of 10, in tenths.
    let arguments = ["security", "--offline=true", "--threshold=20", "--no-pager"];
    let Some(output) = analyze(&arguments) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
