//! The command line of `limpet ctl`.
//!
//! Declarations only. Tested by `cli`'s own test of the command line, and by `tests/ctl`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

use super::values::Setting;
use crate::control::change::Keep;
use crate::control::config::units;

const HELP: &str = "\
Where the admin API is looked for: --admin, else the [admin] table of --config FILE, else LIMPET_ADMIN, else \
/run/limpet/admin.sock if it exists, else http://127.0.0.1:9901. A token: --token, else LIMPET_TOKEN, else \
admin.token of --config FILE; the Unix socket asks for none. Over TLS: --ca, --cert, --key and --server-name, else \
LIMPET_CA, LIMPET_CERT, LIMPET_KEY and LIMPET_SERVER_NAME.

Examples:
  limpet ctl status
  limpet ctl stickiness set app enabled=true duration=12h
  limpet ctl drain app a --until-idle --deadline 10m --wait
  limpet ctl diff new.toml
  limpet ctl apply new.toml --confirm 60s
  limpet ctl explain 'limpet_app=AQAB…'
  limpet ctl groups --json | jq '.groups[].name'

Exit codes: 0 done; 1 refused or failed; 2 a command line or a configuration that is refused; 3 nobody \
answers; 4 diff found differences.";

/// Options of `limpet ctl`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Options {
    #[command(flatten)]
    pub(super) shared: Shared,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(super) struct Shared {
    /// Where the admin API is: http://HOST:PORT, https://HOST:PORT or the path of a Unix socket
    #[arg(long, visible_alias = "url", global = true, value_name = "URL|PATH")]
    pub admin: Option<String>,
    /// Take address, socket and token from the [admin] table of this file
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The bearer token; others on this machine can see it here, so LIMPET_TOKEN is better
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<Token>,
    /// Over TLS: trust the authorities in this file of PEM, not the machine's
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Over TLS: the client certificate to show, in PEM, its issuers' behind it
    #[arg(long, global = true, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Over TLS: the key of --cert, in PEM; when absent it is in that file
    #[arg(long, global = true, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Over TLS: the name that the server's certificate must have, where it is not HOST
    #[arg(long, global = true, value_name = "NAME")]
    pub server_name: Option<String>,
    /// Print the answer of the API as it is, refusals too
    #[arg(long, global = true)]
    pub json: bool,
}

impl Shared {
    /// The first option that has a meaning over TLS only.
    pub(super) fn of_tls(&self) -> Option<&'static str> {
        let given = [
            ("--ca", self.ca.is_some()),
            ("--cert", self.cert.is_some()),
            ("--key", self.key.is_some()),
            ("--server-name", self.server_name.is_some()),
        ];
        given.into_iter().find(|(_, is_given)| *is_given).map(|(option, _)| option)
    }
}

/// Never printed.
#[derive(Clone)]
pub(super) struct Token(pub String);

impl FromStr for Token {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Token, Self::Err> {
        Ok(Token(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token(…)")
    }
}

/// On what condition a change is made.
#[derive(Debug, Args)]
pub(super) struct Condition {
    /// Only if the configuration is still at this version
    #[arg(long, value_name = "VERSION")]
    pub if_version: Option<u64>,
}

/// Where a change is kept, and on what condition it is made.
#[derive(Debug, Args)]
pub(super) struct Change {
    #[command(flatten)]
    pub kept: Kept,
    #[command(flatten)]
    pub condition: Condition,
}

/// Where a change is kept.
#[derive(Debug, Args)]
pub(super) struct Kept {
    /// Keep the change as an overlay until limpet ends, or in the file [default: overlay]
    #[arg(long, value_name = "WHERE")]
    keep: Option<Where>,
    /// Keep the change in the file: short for --keep file
    #[arg(long, short, conflicts_with = "keep")]
    write: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Where {
    Overlay,
    File,
}

impl Kept {
    pub(super) fn keep(&self) -> Keep {
        match (self.keep, self.write) {
            (Some(Where::File), _) | (_, true) => Keep::File,
            (Some(Where::Overlay) | None, false) => Keep::Overlay,
        }
    }
}

/// One target.
#[derive(Debug, Args)]
pub(super) struct TargetName {
    /// The target group
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// The target's id
    #[arg(value_name = "TARGET")]
    pub target: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The process at a glance: configuration, listeners, connections, warnings
    Status,
    /// Target groups with their health, load and stickiness
    Groups,
    /// Targets with their health, load and drains
    Targets {
        /// Only of this target group
        group: Option<String>,
    },
    /// Estimated live sessions, and requests by sticky verdict; --json shows every group
    Sessions {
        /// Only of this target group
        group: Option<String>,
    },
    /// Take a target out of service without logging anybody out: no new sessions, bound ones stay
    Drain(DrainOptions),
    /// Change a target's share of new requests; 0 takes none
    Weight {
        #[command(flatten)]
        target: TargetName,
        #[arg(value_name = "N")]
        weight: u32,
        #[command(flatten)]
        change: Change,
    },
    /// Put a target back into service: ends a drain or an ejection
    Enable {
        #[command(flatten)]
        target: TargetName,
        #[command(flatten)]
        kept: Kept,
    },
    /// Take a target out of service at once: what is bound to it fails over
    Disable {
        #[command(flatten)]
        target: TargetName,
        #[command(flatten)]
        kept: Kept,
    },
    /// Register a target
    Add {
        /// The target group
        group: String,
        /// "10.0.0.1:8080" or "unix:/run/app.sock"
        address: String,
        /// The target's id; without it the address
        #[arg(long)]
        id: Option<String>,
        /// The target's share of new requests
        #[arg(long, value_name = "N")]
        weight: Option<u32>,
        #[command(flatten)]
        change: Change,
    },
    /// Deregister a target; it drains first
    Remove {
        #[command(flatten)]
        target: TargetName,
        #[command(flatten)]
        change: Change,
    },
    /// Show and change the Stickiness attribute of a target group
    #[command(subcommand)]
    Stickiness(StickinessCommand),
    /// Change settings of a target group, with the keys of its table in the file
    #[command(after_help = SET_HELP)]
    Set {
        /// The target group
        group: String,
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<Setting>,
        #[command(flatten)]
        change: Change,
    },
    /// Read the file again and run by it; no connection closes
    Reload {
        #[command(flatten)]
        condition: Condition,
    },
    /// What a reload, or another file, would change; exit code 4 if anything differs
    Diff {
        /// Compare with this file, "-" for standard input; without it the file on the server's disk
        file: Option<PathBuf>,
    },
    /// Run by a file
    #[command(after_help = APPLY_HELP)]
    Apply {
        /// The file, "-" for standard input; without it the file on the server's disk
        file: Option<PathBuf>,
        /// Go back by itself unless confirmed within this time
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        confirm: Option<String>,
        #[command(flatten)]
        change: Change,
    },
    /// Keep what was applied with --confirm
    Confirm,
    /// Take back what was applied with --confirm
    Rollback,
    /// Take back one change of the history
    Undo {
        /// Its number in the history
        change: u64,
        #[command(flatten)]
        condition: Condition,
    },
    /// Every change, newest last
    History,
    /// Changes that are not in the file
    Overlay {
        #[arg(value_enum, default_value_t = OverlayCommand::Show)]
        what: OverlayCommand,
        #[command(flatten)]
        condition: Condition,
    },
    /// What TLS listeners present: names, issuers, ends
    Certificates,
    /// What happened lately: health, ejections, drains, reloads, edits
    Events {
        /// Go on with what happens from now on, until interrupted
        #[arg(long, short)]
        follow: bool,
        /// The newest ones, at most so many
        #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
        count: u32,
    },
    /// Where the running process would send a request, and why
    #[command(after_help = EXPLAIN_HELP)]
    Explain(ExplainOptions),
    /// Show or change how much limpet's own log says
    LogLevel {
        #[arg(value_parser = ["error", "warn", "info", "debug", "trace"])]
        level: Option<String>,
    },
    /// All metrics, in Prometheus' text format
    Metrics,
}

const SET_HELP: &str = "\
A value is read as TOML where it is TOML (true, 5, [\"a\"], \"x\"), else as text. KEY= takes the key out, back to \
its default. Keys, defaults and what is allowed: limpet settings target_group

Examples:
  limpet ctl set app slow_start=30s connection_limit=100
  limpet ctl set app algorithm=least_outstanding_requests --write";

const APPLY_HELP: &str = "\
With --confirm the new configuration runs at once, and goes back by itself when nobody confirms it in time, or \
as soon as gateway errors jump. With --write, FILE becomes the server's file; with --confirm when it is confirmed.

Example:
  limpet ctl apply new.toml --confirm 60s && ./smoke-test && limpet ctl confirm";

const EXPLAIN_HELP: &str = "\
Examples:
  limpet ctl explain 'GET /cart' -H 'Host: shop.example' -H 'Cookie: limpet_shop=AQAB…'
  limpet ctl explain 'limpet_shop=AQAB…'";

#[derive(Debug, Args)]
pub(super) struct DrainOptions {
    #[command(flatten)]
    pub target: TargetName,
    /// Until no request is in flight and no tunnel is open
    #[arg(long, conflicts_with = "until_sessions")]
    pub until_idle: bool,
    /// Until at most N live sessions are bound to it, by estimate
    #[arg(long, value_name = "N")]
    pub until_sessions: Option<u64>,
    /// At the latest after this time, as in 10m; without --until… no later than the deregistration delay either
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub deadline: Option<String>,
    /// Show the countdown until it has drained
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub kept: Kept,
}

#[derive(Debug, Subcommand)]
pub(super) enum StickinessCommand {
    /// Show the attribute, and whether it matches the application's session
    Get {
        /// The target group
        group: String,
    },
    /// Change it, in force from the next request on
    #[command(after_help = STICKINESS_HELP)]
    Set {
        /// The target group
        group: String,
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<Setting>,
        #[command(flatten)]
        change: Change,
    },
    /// Enable it
    On {
        /// The target group
        group: String,
        #[command(flatten)]
        change: Change,
    },
    /// Disable it
    Off {
        /// The target group
        group: String,
        #[command(flatten)]
        change: Change,
    },
    /// Outdate every cookie and session id sealed until now: all users are balanced anew
    Flush {
        /// The target group
        group: String,
        #[command(flatten)]
        change: Change,
    },
}

const STICKINESS_HELP: &str = "\
Keys, defaults and what is allowed: limpet settings target_group.stickiness

Examples:
  limpet ctl stickiness set app enabled=true duration=12h max_age=7d
  limpet ctl stickiness set app type=app_cookie app_cookie=PHPSESSID --write
  limpet ctl stickiness set app enabled=true type=app_header app_header=Mcp-Session-Id on_lost=404 --write";

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum OverlayCommand {
    /// List them
    Show,
    /// Write all of them into the file
    Write,
    /// Go back to the file as it was loaded
    Discard,
}

#[derive(Debug, Args)]
pub(super) struct ExplainOptions {
    /// 'GET /path?query', or a cookie or a field line alone for GET /
    #[arg(value_name = "REQUEST")]
    pub request: String,
    /// A field line, as in 'Host: www.example.com'; may be given several times
    #[arg(long = "header", short = 'H', value_name = "FIELD LINE")]
    pub headers: Vec<String>,
    /// The listener that takes the request; without it the first
    #[arg(long, short, value_name = "NAME")]
    pub listener: Option<String>,
    /// The client's address, for rules that ask for it
    #[arg(long, short, value_name = "IP", default_value = "127.0.0.1")]
    pub source: IpAddr,

    /// The server name of the TLS handshake; without it the host
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,

    /// The client presents a certificate, one that is accepted
    #[arg(long)]
    pub client_certificate: bool,
}

/// A duration in the file's notation; sent as it was typed.
fn duration(text: &str) -> Result<String, String> {
    match units::parse_duration(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(what) => Err(format!("{what}; write it as in 30s, 10m or 1h30m")),
    }
}
