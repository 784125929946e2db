//! What the README shows is true: its configuration is accepted, its links lead somewhere.

use std::fs;
use std::path::Path;
use std::process::Command;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The content of every fenced block of that language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let rests = text.split(fence.as_str()).skip(1);
    rests.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_first_configuration_is_accepted_and_short() {
    let blocks = blocks(&readme(), "toml");
    assert_eq!(blocks.len(), 1);
    let lines = blocks[0].lines().filter(|line| !line.trim().is_empty());
    assert!(lines.count() <= 20, "{}", blocks[0]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limpet.toml");
    fs::write(&file, &blocks[0]).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_limpet"));
    let output = check.arg("check").arg("--config").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_files_that_the_readme_links_to_exist() {
    let text = readme();
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files: Vec<&str> = links.filter(|link| !link.contains("://")).collect();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).is_file(), "{file}");
    }
}

#[test]
fn every_command_that_the_readme_names_exists() {
    let text = readme();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `limpet "));
    let commands: Vec<&str> = rows.filter_map(|row| row.split([' ', '`']).next()).collect();
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        let mut limpet = Command::new(env!("CARGO_BIN_EXE_limpet"));
        let output = limpet.arg(command).arg("--help").output().unwrap();
        assert!(output.status.success(), "limpet {command} --help");
    }
}
