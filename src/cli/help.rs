//! `limpet help [TOPIC]`: a short text for each topic, and the help of commands.
//!
//! Owns the texts below `help/`. The fields of the access log come from the formatter's own table. Tested beside it and
//! by `tests/help.rs`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use super::{CONFIG_REFUSED, Cli};
use crate::telemetry::format::fields::{FIELDS, JSON_COUNT, RARE_FIELDS, RARE_JSON_COUNT};

/// Names that differ more than this are no typing errors.
const DISTANCE_MAX: usize = 2;

struct Topic {
    name: &'static str,
    about: &'static str,
    text: &'static str,
}

macro_rules! topic {
    ($name:literal, $about:literal) => {
        Topic { name: $name, about: $about, text: include_str!(concat!("help/", $name, ".txt")) }
    };
}

static TOPICS: [Topic; 13] = [
    topic!("config", "the configuration file"),
    topic!("stickiness", "how users come back to their target"),
    topic!("tls", "certificates, clients' certificates, handshakes"),
    topic!("http2", "clients and targets that speak HTTP/2"),
    topic!("grpc", "calls of gRPC: targets, deadlines, retries, checks"),
    topic!("health", "checks, ejection, slow start"),
    topic!("drain", "taking a target out of service"),
    topic!("reload", "changing the configuration of a running limpet"),
    topic!("access-log", "formats, fields, rotation, what is never logged"),
    topic!("metrics", "what Prometheus can scrape"),
    topic!("signals", "what signals do, exit codes, systemd"),
    topic!("security", "rights of the process, keys, what is refused"),
    topic!("ctl", "steering a running limpet"),
];

/// Prints a topic, the help of a command, or the list of both.
pub fn run(name: Option<&str>) -> ExitCode {
    let Some(text) = text(name) else {
        eprint!("{}", unknown(name.unwrap_or_default()));
        return ExitCode::from(CONFIG_REFUSED);
    };
    // The write fails only when the reader has closed the pipe.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn text(name: Option<&str>) -> Option<String> {
    let Some(name) = name else { return Some(list()) };
    if let Some(topic) = TOPICS.iter().find(|topic| topic.name == name) {
        let mut text = topic.text.to_owned();
        if topic.name == "access-log" {
            push_fields(&mut text);
        }
        return Some(text);
    }
    Cli::command().find_subcommand(name)?;
    // The same text as its own --help.
    let help = Cli::try_parse_from(["limpet", name, "--help"]).err()?;
    Some(help.render().to_string())
}

/// The message for an unknown name, with all known names.
fn unknown(name: &str) -> String {
    let commands = commands();
    let topics: Vec<&str> = TOPICS.iter().map(|topic| topic.name).collect();
    let known = topics.iter().copied().chain(commands.iter().map(String::as_str));
    let meant = nearest(known, name).map_or(String::new(), |it| format!(", did you mean {it}?"));
    format!(
        "limpet help: there is no topic {name:?}{meant}\n  topics:    {}\n  commands:  {}\n",
        topics.join(", "),
        commands.join(", ")
    )
}

fn commands() -> Vec<String> {
    let command = Cli::command();
    command.get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

fn list() -> String {
    let mut text = Cli::command().render_help().to_string();
    text.push_str("\nTopics (limpet help TOPIC):\n");
    for topic in &TOPICS {
        text.push_str(&format!("  {:<12}{}\n", topic.name, topic.about));
    }
    text
}

fn push_fields(text: &mut String) {
    for (at, info) in FIELDS.iter().enumerate() {
        if at == JSON_COUNT {
            text.push_str("  ---\n");
        }
        text.push_str(&format!("  {:<19}{}\n", info.name, info.about));
    }
    text.push_str(
        "\nOf some requests only; \"json\" has those above the line where they are known:\n\n",
    );
    for (at, info) in RARE_FIELDS.iter().enumerate() {
        if at == RARE_JSON_COUNT {
            text.push_str("  ---\n");
        }
        text.push_str(&format!("  {:<25}{}\n", info.name, info.about));
    }
}

fn nearest<'n>(known: impl Iterator<Item = &'n str>, name: &str) -> Option<&'n str> {
    let distance = |topic: &str| strsim::osa_distance(topic, name);
    let best = known.min_by_key(|topic| distance(topic))?;
    (distance(best) <= DISTANCE_MAX).then_some(best)
}

#[cfg(test)]
mod tests {
    use crate::cli::help::*;
    use crate::control::config::schema;
    use crate::telemetry::reason::Reason;

    #[test]
    fn every_topic_is_listed_and_short() {
        let list = text(None).expect("a list");
        for topic in &TOPICS {
            assert!(list.contains(&format!("  {} ", topic.name)), "{}", topic.name);
            assert!(topic.text.ends_with('\n') && topic.text.lines().count() <= 45);
            assert!(topic.text.lines().all(|line| line.chars().count() <= 80), "{}", topic.name);
        }
    }

    #[test]
    fn the_access_log_lists_every_field() {
        let text = text(Some("access-log")).expect("a topic");
        for info in FIELDS {
            let line = format!("  {:<19}{}\n", info.name, info.about);
            assert!(text.contains(&line), "{}", info.name);
        }
        for info in RARE_FIELDS {
            let line = format!("  {:<25}{}\n", info.name, info.about);
            assert!(text.contains(&line), "{}", info.name);
        }
    }

    #[test]
    fn every_verdict_of_the_log_is_explained() {
        let text = text(Some("stickiness")).expect("a topic");
        for reason in Reason::ALL {
            assert!(text.contains(&format!("\n  {} ", reason.code())), "{}", reason.code());
        }
    }

    #[test]
    fn commands_have_their_own_help() {
        let text = text(Some("run")).expect("a command");
        assert!(text.contains("limpet run") && text.contains("--config"), "{text}");
        assert!(super::text(Some("nothing")).is_none());
    }

    #[test]
    fn settings_that_the_texts_name_exist() {
        let known: Vec<String> = schema::listing().into_iter().map(|listed| listed.path).collect();
        for section in ["process", "access_log", "admin"] {
            for topic in &TOPICS {
                let words =
                    topic.text.split(|c: char| !(c.is_ascii_lowercase() || "_./".contains(c)));
                let prefix = format!("{section}.");
                for word in words.filter(|word| word.starts_with(&prefix)) {
                    let word = word.trim_end_matches('.').to_owned();
                    assert!(known.contains(&word) || word == section, "{word} in {}", topic.name);
                }
            }
        }
    }
}
