//! `limpet explain`: which listener, rule and target group a request meets, and why.
//!
//! Decides nothing itself: it asks the same functions that serve requests, and words their answers.
//! Never connects anywhere. Tested by `tests/config.rs`.

mod answer;

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `limpet explain`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The configuration, a TOML file
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,

    /// Method and request-target, as in 'GET /path?query'; a version may follow
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
}

impl Options {
    /// The head as it would come from the client.
    fn head(&self) -> String {
        let mut line = self.request.trim().to_owned();
        if !line.rsplit(' ').next().is_some_and(|last| last.starts_with("HTTP/")) {
            line.push_str(" HTTP/1.1");
        }
        let has_host = self
            .headers
            .iter()
            .any(|header| header.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("host:")));
        let mut head = format!("{line}\r\n");
        if !has_host && line.ends_with("HTTP/1.1") {
            // In absolute-form Host must say the same (RFC 9112 §3.2.2).
            let authority = line.split(' ').nth(1).and_then(|target| {
                let (_, rest) = target.split_once("://")?;
                rest.split(['/', '?']).next()
            });
            head.push_str(&format!("Host: {}\r\n", authority.unwrap_or("localhost")));
        }
        for header in &self.headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head
    }
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
    match answer::answer(options, &control.snapshot()) {
        Ok(text) => {
            // Whoever closes the pipe has read enough.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(what) => {
            eprintln!("limpet explain: {what}");
            ExitCode::FAILURE
        }
    }
}
