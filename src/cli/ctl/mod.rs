//! `limpet ctl`: shows and changes the state of a running limpet through its admin API.
//!
//! Owns the words of the command line and its output. Decides nothing: the server does, and its answer is shown. Tested
//! by `tests/ctl` against a server with the API's answers.

mod answers;
mod arguments;
mod certificates;
mod client;
mod config;
mod drain;
mod events;
mod failure;
mod groups;
mod place;
mod secure;
mod session;
mod status;
mod stickiness;
mod table;
mod targets;
mod values;
mod words;

use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

pub use arguments::Options;
use arguments::{Command, Shared};
use client::Client;
use failure::Failure;
use place::{At, Place};
use secure::{Files, Named, Secure};
use session::Session;
use table::Style;

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    let done = open(&options.shared).and_then(|session| dispatch(&session, &options.command));
    let failure = match done {
        Ok(code) => return code,
        Err(failure) => failure,
    };
    // The write fails only when the reader has closed the pipe.
    let _ = match &failure {
        Failure::Refused(problem) if options.shared.json => {
            writeln!(io::stdout(), "{}", problem.raw.trim_end())
        }
        failure => writeln!(io::stderr(), "limpet ctl: {failure}"),
    };
    failure.exit_code()
}

fn open(shared: &Shared) -> Result<Session, Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let (environment_admin, environment_token) =
        (environment("LIMPET_ADMIN"), environment("LIMPET_TOKEN"));
    let hints = place::Hints {
        admin: shared.admin.as_deref(),
        config: shared.config.as_deref(),
        token: shared.token.as_ref().map(|token| &*token.0),
        environment_admin: environment_admin.as_deref(),
        environment_token: environment_token.as_deref(),
    };
    let (place, token) = place::find(&hints).map_err(Failure::Usage)?;
    let secure = secure(shared, &place).map_err(Failure::Usage)?;
    let client = Client::new(place, secure, token.as_deref(), &user())?;
    Ok(Session { client, json: shared.json, style: Style::of_stdout() })
}

/// How a place with TLS is asked; the command line comes before the environment.
fn secure(shared: &Shared, place: &Place) -> Result<Option<Secure>, String> {
    let At::Tls { name: of_place, .. } = &place.at else {
        return match shared.of_tls() {
            Some(option) => Err(format!("{option} has no effect at {place}, which has no TLS")),
            None => Ok(None),
        };
    };
    let environment = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let file = |stated: &Option<PathBuf>, option, variable| {
        let stated = stated.clone().map(|path| Named { path, by: option });
        let named = || {
            let path = PathBuf::from(environment(variable)?);
            Some(Named { path, by: variable })
        };
        stated.or_else(named)
    };
    let name = shared.server_name.clone().or_else(|| environment("LIMPET_SERVER_NAME"));
    let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| of_place.clone());
    let files = Files {
        ca: file(&shared.ca, "--ca", "LIMPET_CA"),
        cert: file(&shared.cert, "--cert", "LIMPET_CERT"),
        key: file(&shared.key, "--key", "LIMPET_KEY"),
    };
    Secure::new(&files, &name).map(Some)
}

/// The name of the user, for the audit log, which adds what the kernel knows.
fn user() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        .or_else(|| std::fs::metadata("/proc/self").ok().map(|own| format!("uid-{}", own.uid())))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn dispatch(session: &Session, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Status => status::status(session),
        Command::Metrics => status::metrics(session),
        Command::LogLevel { level } => status::log_level(session, level.as_deref()),
        Command::Certificates => certificates::certificates(session),
        Command::Groups => groups::groups(session),
        Command::Sessions { group } => groups::sessions(session, group.as_deref()),
        Command::Set { group, settings, change } => groups::set(session, group, settings, change),
        Command::Targets { group } => targets::targets(session, group.as_deref()),
        Command::Weight { target, weight, change } => {
            targets::weight(session, target, *weight, change)
        }
        Command::Enable { target, kept } => targets::enable(session, target, kept),
        Command::Disable { target, kept } => targets::disable(session, target, kept),
        Command::Add { group, address, id, weight, change } => {
            let id = id.as_deref();
            targets::add(session, &targets::New { group, address, id, weight: *weight }, change)
        }
        Command::Remove { target, change } => targets::remove(session, target, change),
        Command::Drain(options) => drain::drain(session, options),
        Command::Stickiness(command) => stickiness::stickiness(session, command),
        Command::Reload { condition } => config::reload(session, condition),
        Command::Diff { file } => config::diff(session, file.as_deref()),
        Command::Apply { file, confirm, change } => {
            config::apply(session, file.as_deref(), confirm.as_deref(), change)
        }
        Command::Confirm => config::confirm(session),
        Command::Rollback => config::rollback(session),
        Command::Undo { change, condition } => config::undo(session, *change, condition),
        Command::History => config::history(session),
        Command::Overlay { what, condition } => config::overlay(session, *what, condition),
        Command::Events { follow, count } => events::events(session, *follow, *count),
        Command::Explain(question) => status::explain(session, question),
    }
}
