//! `loadtest compare` as a whole, with what is always there: a limpet and the floor.
//!
//! limpet is found beside this tool or where `LIMPET_PEER_LIMPET` says; without one, or with one core only,
//! these tests say that they are skipped.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::available_parallelism;
use std::{env, fs};

fn limpet() -> Option<PathBuf> {
    let tool = Path::new(env!("CARGO_BIN_EXE_loadtest"));
    let beside = tool.parent().map(|folder| folder.join("limpet"));
    let named = env::var_os("LIMPET_PEER_LIMPET").map(PathBuf::from);
    let cores = available_parallelism().map_or(1, usize::from);
    let found = named.or(beside).filter(|path| path.is_file() && cores > 1);
    if found.is_none() {
        eprintln!("skipped: no limpet beside {}, or one core only", tool.display());
    }
    found
}

fn compare(limpet: &Path, out: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["compare", "--peers", "none", "--rounds", "1", "--seconds", "0.3", "--limpet"])
        .arg(limpet)
        .arg("--out")
        .arg(out)
        .args(arguments)
        .env_remove("CARGO")
        .output()
        .unwrap()
}

#[test]
fn limpet_and_the_floor_are_compared_and_everything_is_written() {
    let Some(limpet) = limpet() else { return };
    let out = env::temp_dir().join(format!("compare-test-{}", std::process::id()));
    let said = compare(&limpet, &out, &["--scenario", "half-load,sticky"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
    let json = fs::read_to_string(out.join("results.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let cells = &json["scenarios"][0]["points"][0]["cells"];
    for (index, name) in ["limpet", "floor"].into_iter().enumerate() {
        assert_eq!(cells[index]["candidate"], name);
        assert!(cells[index]["summary"]["cost"]["median"].as_f64().unwrap() > 0.0, "{text}");
    }
    let sticky = &json["scenarios"][1]["points"][0]["cells"];
    assert_eq!(sticky[0]["summary"]["wrong_target"], 0);
    assert!(sticky[1]["cannot"].as_str().unwrap().contains("one target"));
    for file in [
        "RESULTS.md",
        "cpu-per-request.svg",
        "cpu-per-request.png",
        "configurations/limpet/limpet.toml",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    fs::remove_dir_all(out).unwrap();
}

#[test]
fn a_scenario_that_nobody_knows_is_refused() {
    let Some(limpet) = limpet() else { return };
    let out = env::temp_dir().join(format!("compare-unknown-{}", std::process::id()));
    let said = compare(&limpet, &out, &["--scenario", "nothing-like-it"]);
    assert_eq!(said.status.code(), Some(2));
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(text.contains("nothing-like-it") && text.contains("half-load"), "{text}");
    assert!(!out.exists());
}
