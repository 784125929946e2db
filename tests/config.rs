//! The files in `config/`, the report of everything that is wrong with a file, and the promise that
//! `config/limpet.toml` names every setting with its true default.

use std::fs;
use std::path::{Path, PathBuf};

use limpet::control::config::schema::{self, Default, Kind};
use limpet::control::config::{self, Problems};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn toml_files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

/// `config/limpet.toml` with every commented setting taken in.
fn uncommented() -> String {
    let setting = |line: &str| {
        let after = line.strip_prefix('#')?;
        after
            .starts_with(|first: char| first.is_ascii_lowercase() || first == '[')
            .then(|| after.to_owned())
    };
    let text = read("config/limpet.toml");
    text.lines().map(|line| setting(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

fn problems(text: &str) -> Vec<String> {
    match config::parse(text, "x.toml") {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_file_of_the_config_folder_loads() {
    let files = toml_files("config");
    assert!(files.len() >= 3);
    for path in files {
        if let Err(error) = config::load(&path) {
            panic!("{error}");
        }
    }
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once() {
    let Err(report) = config::parse(&read("tests/config/bad.toml"), "bad.toml") else {
        panic!("bad.toml was accepted");
    };
    let expected = read("tests/config/bad.report");
    let report = format!("{report}\n");
    if let Ok(path) = std::env::var("LIMPET_WRITE_REPORT") {
        fs::write(path, &report).unwrap();
    }
    for (got, want) in report.lines().zip(expected.lines()) {
        assert_eq!(got, want);
    }
    assert_eq!(report, expected);
}

/// Follows a path of the listing ("listener.rule.when") through a document; lists are searched whole.
fn stated<'d>(document: &'d toml::Value, path: &str) -> Option<&'d toml::Value> {
    let (key, rest) = path.split_once('.').unwrap_or((path, ""));
    let values: Vec<&toml::Value> = match document {
        toml::Value::Array(elements) => {
            return elements.iter().find_map(|element| stated(element, path));
        }
        toml::Value::Table(table) if key == "*" => table.values().collect(),
        toml::Value::Table(table) => table.get(key).into_iter().collect(),
        _ => return None,
    };
    let found = |value| if rest.is_empty() { Some(value) } else { stated(value, rest) };
    values.into_iter().find_map(found)
}

#[test]
fn limpet_toml_names_every_setting_with_its_true_default() {
    let document: toml::Value = toml::from_str(&uncommented()).unwrap();
    let listing = schema::listing();
    assert!(listing.len() > 120, "{}", listing.len());
    for listed in listing {
        // A listener's own action has the settings of a rule's, which stand there.
        let in_rule = listed.path.replacen("listener.", "listener.rule.", 1);
        let path = if stated(&document, &listed.path).is_some() { &listed.path } else { &in_rule };
        let value = stated(&document, path);
        let value = value.unwrap_or_else(|| panic!("{} is not named", listed.path));
        if let Default::Is(default) = listed.setting.default
            && !matches!(listed.setting.kind, Kind::Sections(_) | Kind::SectionByName { .. })
        {
            // Conditions and trusted networks are shown by example where their default is "none".
            if listed.path.starts_with("listener.rule.when.") {
                continue;
            }
            // A weight can only be shown in a list of groups.
            if listed.path == "listener.rule.forward.groups.weight"
                || listed.path == "listener.forward.groups.weight"
            {
                continue;
            }
            let expected: toml::Value =
                toml::from_str::<toml::Table>(&format!("value = {default}")).unwrap()["value"]
                    .clone();
            assert_eq!(value, &expected, "{}", listed.path);
        }
    }
}

#[test]
fn limpet_toml_sets_nothing_but_defaults() {
    let as_it_is = config::parse(&read("config/limpet.toml"), "limpet.toml").unwrap();
    let bare = r#"
        [[listener]]
        name = "web"
        address = "0.0.0.0:8080"
        forward = "app"
        [[target_group]]
        name = "app"
        target = [{ address = "127.0.0.1:9001" }]
    "#;
    let bare = config::parse(bare, "bare.toml").unwrap();
    assert_eq!(as_it_is.process, bare.process);
    assert_eq!(as_it_is.access_log, bare.access_log);
    assert_eq!(as_it_is.stickiness_keys, bare.stickiness_keys);
    assert_eq!(as_it_is.target_groups[0], bare.target_groups[0]);
    let mut listener = as_it_is.listeners[0].clone();
    listener.rules.clear();
    assert_eq!(listener, bare.listeners[0]);
}

#[test]
fn everything_in_limpet_toml_is_accepted_together_but_for_what_excludes_each_other() {
    // app_cookie and hash_on have a meaning beside another type and algorithm only.
    let text = uncommented()
        .replace("type = \"lb_cookie\"", "type = \"app_cookie\"")
        .replace("algorithm = \"round_robin\"", "algorithm = \"hash\"");
    assert_eq!(problems(&text), Vec::<String>::new());
}
