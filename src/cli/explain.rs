//! `limpet explain`: which listener, rule and target group a request meets, and why.
//!
//! Asks [`crate::control::explain`] and prints its answer. Never connects anywhere. Tested by
//! `tests/config_commands.rs`.

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use super::CONFIG_REFUSED;
use crate::control::explain::{Question, explain};

/// Options of `limpet explain`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The configuration, a TOML file
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,

    /// Method and request-target, as in 'GET /path?query'; a version may follow. Or a cookie alone, as in
    /// 'limpet_app=AQ…', or a field line alone, as in 'Mcp-Session-Id: 6f…', for GET /
    #[arg(long, short, value_name = "REQUEST")]
    request: String,

    /// A field line, as in 'Host: www.example.com'; may be given several times. Without Host, it is
    /// "localhost"
    #[arg(long = "header", short = 'H', value_name = "FIELD LINE")]
    headers: Vec<String>,

    /// The listener that takes the request; without it the first of the file
    #[arg(long, short, value_name = "NAME")]
    listener: Option<String>,

    /// The client's address, for rules that ask for it
    #[arg(long, short, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    source: IpAddr,

    /// The server name of the TLS handshake; without it the host
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,

    /// The client presents a certificate, one that is accepted
    #[arg(long)]
    client_certificate: bool,
}

/// Prints the answer.
pub fn run(options: &Options) -> ExitCode {
    let (_, control, _) = match super::check::load(&options.config) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return error.exit_code();
        }
    };
    let question = Question {
        request: options.request.clone(),
        headers: options.headers.clone(),
        listener: options.listener.clone(),
        source: options.source,
        sni: options.sni.clone(),
        client_certificate: options.client_certificate,
    };
    match explain(&control.snapshot(), &question) {
        Ok(explanation) => {
            // The write fails only when the reader has closed the pipe.
            let _ = write!(io::stdout(), "{explanation}");
            ExitCode::SUCCESS
        }
        Err(what) => {
            eprintln!("limpet explain: {what}");
            ExitCode::from(CONFIG_REFUSED)
        }
    }
}
