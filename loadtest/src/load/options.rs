//! What `loadtest load` can be told.
//!
//! Owns: the options, their shapes, and what does not go together. Tested below and by `tests/load.rs`.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use crate::tls::speech::Version;

/// Options of `loadtest load`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The balancer
    #[arg(long, value_name = "IP:PORT")]
    pub address: SocketAddr,
    /// Connections at the same time, over all threads
    #[arg(long, default_value = "64")]
    pub connections: NonZero<usize>,
    /// How long to measure: 500ms, 5s, 2m
    #[arg(long, value_parser = duration, default_value = "5s", conflicts_with = "requests")]
    pub duration: Duration,
    /// Measure this many requests, instead of for a time
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,
    /// How long to send before measuring
    #[arg(long, value_parser = duration, default_value = "1s")]
    pub warmup: Duration,
    /// Send so many requests a second, whatever happens (open loop); times count from when each was
    /// due. Without it, each connection waits for its response (closed loop)
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub rate: Option<f64>,
    /// Threads that send
    #[arg(long, default_value = "1")]
    pub threads: NonZero<usize>,
    /// Cores to pin the threads to, in turn: 1 or 2,3
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub core: Vec<usize>,
    /// Requests sent on a connection before the first response
    #[arg(long, default_value = "1", conflicts_with = "close")]
    pub pipeline: NonZero<usize>,
    /// A connection for each request; times count from connecting
    #[arg(long)]
    pub close: bool,
    /// Speak HTTP/2: over TLS as ALPN names it, or else by prior knowledge
    #[arg(long, conflicts_with_all = ["close", "pipeline", "slow_clients", "hostile"])]
    pub http2: bool,
    /// Streams at a time on each connection
    #[arg(long, value_name = "N", default_value = "1", requires = "http2")]
    pub streams: NonZero<usize>,
    /// Streams besides on each connection that ask for --slow-path and take 64 KiB of it; they are not measured
    #[arg(long, value_name = "N", default_value_t = 0, requires = "http2")]
    pub stalled_streams: usize,
    /// Each request and each response is a message of gRPC, and trailers must say that all is well
    #[arg(long, requires = "http2")]
    pub grpc: bool,
    /// Path and query
    #[arg(long, default_value = "/", conflicts_with = "scenario")]
    pub path: String,
    /// Method; GET, or POST with --grpc
    #[arg(long, conflicts_with = "scenario")]
    pub method: Option<String>,
    /// A field line of every request, "Name: value"; may be given again
    #[arg(long, value_name = "LINE")]
    pub header: Vec<String>,
    /// Value of Host; the address when absent
    #[arg(long)]
    pub host: Option<String>,
    /// Content of each request, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 0, conflicts_with = "scenario")]
    pub body_size: usize,
    /// Send the content in chunks
    #[arg(long, requires = "body_size", conflicts_with = "scenario")]
    pub chunked: bool,
    /// Keep cookies, as a user does who must stay with one X-Target
    #[arg(long, value_enum, value_name = "WHOSE")]
    pub cookie_jar: Option<CookieJar>,
    /// Users with a jar each, shared by the connections, one request of each at a time
    #[arg(long, value_name = "N", required_if_eq("cookie_jar", "per-session"))]
    pub sessions: Option<usize>,
    /// A response from another target is a move when it brings a new cookie
    #[arg(long, requires = "cookie_jar")]
    pub allow_moves: bool,
    /// A mix of requests (TOML)
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Check every response: status 2xx, length, and that X-Request-Echo, where there is one, is what
    /// the request's X-Echo said
    #[arg(long)]
    pub check: bool,
    /// Content that --check expects, in bytes; where a scenario does not say otherwise
    #[arg(long, value_name = "BYTES", requires = "check")]
    pub expect_size: Option<u64>,
    /// Longest wait for a response, and for a connection
    #[arg(long, value_parser = duration, default_value = "10s")]
    pub timeout: Duration,
    /// Speak TLS, to a server that presents the first certificate of this file (PEM); `--host` is its name
    #[arg(long, value_name = "FILE")]
    pub tls: Option<PathBuf>,
    /// The version of TLS that is spoken
    #[arg(long, value_enum, default_value = "1.3", requires = "tls")]
    pub tls_version: Version,
    /// Resume sessions by their tickets, one of TLS 1.3 once, as soon as there are any
    #[arg(long, requires = "tls")]
    pub tls_resume: bool,
    /// Clients beside the others that begin a handshake and never finish one, so many a second; they are not measured
    #[arg(long, value_name = "PER_SECOND", value_parser = rate, requires = "tls")]
    pub hostile: Option<f64>,
    /// Clients beside the others that read 10 KiB a second; they are not measured
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "tls")]
    pub slow_clients: usize,
    /// What slow clients and stalled streams ask for
    #[arg(long, default_value = "/?size=1048576")]
    pub slow_path: String,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Show a progress bar even when standard error is no terminal
    #[arg(long)]
    pub progress: bool,
}

/// Whose cookies are kept together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CookieJar {
    /// Each connection is a user
    PerConnection,
    /// Users come and go over all connections
    PerSession,
}

impl Options {
    /// Requests that a connection keeps going.
    pub fn at_a_time(&self) -> usize {
        self.pipeline.get() * self.streams.get()
    }

    pub fn method(&self) -> &str {
        self.method.as_deref().unwrap_or(if self.grpc { "POST" } else { "GET" })
    }

    /// What cannot be done together, in words.
    ///
    /// # Errors
    /// When something does not go together.
    pub fn check_together(&self) -> Result<(), String> {
        let (connections, threads) = (self.connections.get(), self.threads.get());
        if connections < threads {
            return Err(format!(
                "--threads {threads} is more than --connections {connections}: each thread needs one"
            ));
        }
        let wanted = connections * self.at_a_time();
        match (self.cookie_jar, self.sessions) {
            (Some(CookieJar::PerSession), Some(sessions)) if sessions < wanted => Err(format!(
                "--sessions {sessions} is less than the {wanted} requests that --connections and \
                 --pipeline or --streams keep going: a user asks one thing at a time"
            )),
            (None | Some(CookieJar::PerConnection), Some(_)) => {
                Err("--sessions needs --cookie-jar per-session".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Reads "250us", "100ms", "5s" or "2m"; a bare number is seconds.
///
/// # Errors
/// In words, when it is none of these.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("{text} is no time: a number and us, ms, s or m, like 250ms")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{text} is no time, like 250ms or 5s"))?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| format!("{text} is too long"))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e8 => Ok(rate),
        _ => Err("a number of requests above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_every_unit() {
        for (text, expected) in [
            ("250us", Duration::from_micros(250)),
            ("1.5ms", Duration::from_micros(1500)),
            ("5s", Duration::from_secs(5)),
            ("5", Duration::from_secs(5)),
            ("2m", Duration::from_secs(120)),
        ] {
            assert_eq!(duration(text), Ok(expected));
        }
        for text in ["", "ms", "5h", "-1s", "1.2.3s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
