//! What the README and the page for operators show is true: configurations are accepted, command lines are
//! understood, links lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PAGES: [&str; 2] = ["README.md", "docs/operating.md"];

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn readme() -> String {
    page(PAGES[0])
}

/// All pages, one behind the other, the README first.
fn pages() -> String {
    PAGES.map(page).join("\n")
}

/// The content of every fenced block of that language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let rests = text.split(fence.as_str()).skip(1);
    rests.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// A folder with the README's first configuration in it.
fn first_configuration() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limpet.toml");
    fs::write(&file, &blocks(&readme(), "toml")[0]).unwrap();
    (directory, file)
}

fn check(file: &Path) -> Output {
    let mut check = Command::new(env!("CARGO_BIN_EXE_limpet"));
    check.arg("check").arg("--config").arg(file).output().unwrap()
}

#[test]
fn the_first_configuration_is_accepted_and_short() {
    let (_directory, file) = first_configuration();
    let text = fs::read_to_string(&file).unwrap();
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    assert!(lines.count() <= 20, "{text}");
    let output = check(&file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("note:"), "somebody checks its targets, as of all that it has: {said}");
}

#[test]
fn whatever_else_of_a_configuration_is_shown_fits_behind_the_first() {
    let (_directory, file) = first_configuration();
    let first = fs::read_to_string(&file).unwrap();
    let text = pages();
    let others = &blocks(&text, "toml")[1..];
    assert!(others.len() >= 3);
    for other in others {
        fs::write(&file, format!("{first}\n{other}")).unwrap();
        let output = check(&file);
        assert!(output.status.success(), "{other}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Exit code of `limpet ctl` when nobody answers: the command line was understood.
const NOBODY_ANSWERS: i32 = 3;

#[test]
fn every_command_line_that_is_shown_is_understood() {
    let (directory, _) = first_configuration();
    fs::copy(directory.path().join("limpet.toml"), directory.path().join("new.toml")).unwrap();
    let text = pages();
    let shown = blocks(&text, "sh");
    let lines = shown.iter().flat_map(|block| block.lines());
    let lines: Vec<&str> = lines.filter(|line| line.starts_with("limpet ")).collect();
    assert!(lines.len() >= 15, "{lines:?}");
    for line in lines {
        if line.starts_with("limpet run ") {
            continue;
        }
        let expected = if line.starts_with("limpet ctl ") { NOBODY_ANSWERS } else { 0 };
        let output = Command::new("sh")
            .args(["-c", &line.replacen("limpet", "\"$LIMPET\"", 1)])
            .current_dir(directory.path())
            .env("LIMPET", env!("CARGO_BIN_EXE_limpet"))
            .env("LIMPET_ADMIN", directory.path().join("nobody.sock"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "{line}: {said}");
    }
}

#[test]
fn the_files_that_pages_link_to_exist() {
    for name in ["README.md", "docs/operating.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = page(name);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let files: Vec<&str> = links.filter(|link| !link.contains("://")).collect();
        assert!(files.len() >= 3, "{name}: {files:?}");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        for file in files {
            assert!(folder.with_file_name(file).exists(), "{name}: {file}");
        }
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
