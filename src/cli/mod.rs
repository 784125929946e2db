//! The commands of the `limpet` program.
//!
//! Owns arguments, output and exit codes (0 right, 2 a refused configuration or command line, 1 anything else). Makes
//! no decision that belongs to `control` or the data plane. Tested by `tests/config.rs` and `tests/demo.rs` as a user
//! runs it.

mod check;
mod ctl;
pub mod demo;
mod explain;
mod help;
pub mod run;
pub mod server;
mod settings;
mod signals;
pub mod start;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

/// Exit code of a configuration, or of a command line, that is refused.
pub const CONFIG_REFUSED: u8 = 2;

const LONG_ABOUT: &str = "\
limpet is an HTTP load balancer for Linux that brings every user back to the server that knows them.

One program, one TOML file. Listeners take requests, rules choose a target group, the group chooses a \
target; a sticky group brings a user back to the same one.";

const AFTER_HELP: &str = "\
Examples:
  limpet demo                                  the story of sticky sessions, on this machine
  limpet check --config limpet.toml            every mistake of a file at once
  limpet run --config limpet.toml              balance until SIGTERM
  limpet explain --config limpet.toml --request 'GET /api/users'
  limpet settings target_group.stickiness      what can be set, and how
  limpet help access-log                       one topic; limpet help lists them
  limpet ctl status                            ask and change a running limpet

Exit codes: 0 right, 2 a configuration or a command line that is refused, 1 anything else;
limpet ctl has more.";

#[derive(Debug, Parser)]
#[command(name = "limpet", version = env!("LIMPET_VERSION"), about, long_about = LONG_ABOUT, after_help = AFTER_HELP, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Balance requests as a file says, until SIGTERM or SIGINT
    #[command(after_help = RUN_HELP)]
    Run {
        /// The configuration, a TOML file
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
    },
    /// Read and judge a file: what it declares, or every mistake at once
    #[command(after_help = CHECK_HELP)]
    Check {
        /// The configuration, a TOML file
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
    },
    /// Say which listener, rule and target group a request meets, and why
    #[command(after_help = EXPLAIN_HELP)]
    Explain(explain::Options),
    /// See sticky sessions at work: the balancer in front of two small applications
    Demo(demo::Options),
    /// List the settings of a file, with default, what is allowed, and a sentence
    #[command(after_help = SETTINGS_HELP)]
    Settings {
        /// Only settings under this key
        #[arg(value_name = "KEY")]
        under: Option<String>,
    },
    /// Explain a topic or a command; without one, list them
    Help {
        /// A topic such as access-log, or a command
        #[arg(value_name = "TOPIC")]
        topic: Option<String>,
    },
    /// Ask and change a running limpet: status, drain, stickiness, reload, …
    Ctl(Box<ctl::Options>),
    /// Write a shell's completions of this command line to standard output
    #[command(after_help = COMPLETIONS_HELP)]
    Completions { shell: Shell },
}

const RUN_HELP: &str = "\
The first SIGTERM or SIGINT stops accepting and lets requests in flight finish within
process.grace_period; a second one ends at once. Exit code 0 after either. SIGHUP reads the file
again, SIGUSR1 opens the logs anew (limpet help signals).

Example:
  limpet run --config /etc/limpet/limpet.toml";

const CHECK_HELP: &str = "\
Each mistake has file, line, column, key, what was found and what is allowed:

  limpet.toml:12:12: target_group[app].stickiness.duration: is too long; found \"8d\"; allowed: …

Nothing is started and nothing is written. Exit code 2 when there is any mistake.

Example:
  limpet check --config /etc/limpet/limpet.toml && systemctl reload limpet";

const EXPLAIN_HELP: &str = "\
The request is read as a listener would read it, so a request that would be refused says so, and why.

Examples:
  limpet explain --config limpet.toml --request 'GET /api/users?page=2'
  limpet explain --config limpet.toml --request 'GET /' --header 'Host: www.example.com'
  limpet explain --config limpet.toml --request 'POST /cart' --header 'Cookie: limpet_shop=AQAB…'
  limpet explain --config limpet.toml --request 'GET /admin' --listener public --source 192.0.2.7";

const SETTINGS_HELP: &str = "\
Examples:
  limpet settings
  limpet settings listener.timeouts
  limpet settings target_group.stickiness";

const COMPLETIONS_HELP: &str = "\
Examples:
  limpet completions bash > /etc/bash_completion.d/limpet
  limpet completions zsh > /usr/local/share/zsh/site-functions/_limpet
  limpet completions fish > ~/.config/fish/completions/limpet.fish";

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    // Done before the command line is parsed: a signal may come as soon as limpet is started.
    let runs = std::env::args_os().nth(1).is_some_and(|command| command == "run");
    let caught = runs.then(signals::Caught::begin);
    match Cli::parse().command {
        Command::Run { config } => run::run(&config, caught.unwrap_or_else(signals::Caught::begin)),
        Command::Check { config } => check::run(&config),
        Command::Explain(options) => explain::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Settings { under } => settings::run(under.as_deref()),
        Command::Help { topic } => help::run(topic.as_deref()),
        Command::Ctl(options) => ctl::run(&options),
        Command::Completions { shell } => completions(shell),
    }
}

fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "limpet", &mut script);
    // The write fails only when the reader has closed the pipe.
    let _ = io::stdout().write_all(&script);
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use crate::cli::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
