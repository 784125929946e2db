//! What is answered to which request: the options, and what a request's query says instead.
//!
//! Owns: the plan of each answer. Never: bytes or time. Tested below.

use std::time::Duration;

use rand::Rng;

use super::delay::Delay;
use super::mix::{Fault, Faults, Status, Statuses};
use super::request::{Refusal, Request};

/// How requests are answered when they do not say it themselves.
#[derive(Debug, Clone)]
pub struct Script {
    pub size: u64,
    pub delay: Delay,
    pub statuses: Statuses,
    pub faults: Faults,
    pub chunked: bool,
}

/// The answer to one request, complete but for the request's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub status: Status,
    /// Content in bytes; when there is none to be sent, as many as there would be.
    pub size: u64,
    pub chunked: bool,
    /// The answer is a head alone.
    pub head_only: bool,
    /// The request was of HTTP/1.0.
    pub old: bool,
    /// The connection is kept after the answer.
    pub keep: bool,
    /// The answer is held back so long.
    pub delay: Duration,
    /// What is done instead of answering.
    pub fault: Option<Fault>,
}

impl Script {
    /// Plans the answer to `request`.
    ///
    /// # Errors
    /// When the request's query cannot be read.
    pub fn plan(&self, request: &Request<'_>, random: &mut impl Rng) -> Result<Plan, Refusal> {
        let mut asked = Asked::default();
        if !request.query.is_empty() {
            asked.read(request.query).ok_or(Refusal::Query)?;
        }
        let status = asked.status.unwrap_or_else(|| self.statuses.draw(random));
        Ok(Plan {
            status,
            size: asked.size.unwrap_or(self.size),
            // RFC 9112 §6.1: no chunks for a client of HTTP/1.0.
            chunked: asked.chunked.unwrap_or(self.chunked) && !request.old,
            head_only: request.head_only || status.is_bare(),
            old: request.old,
            keep: request.keep,
            delay: asked.delay.unwrap_or(self.delay).draw(random),
            fault: asked.fault.unwrap_or_else(|| self.faults.draw(random)),
        })
    }
}

/// What a request says about its answer.
#[derive(Debug, Default)]
struct Asked {
    size: Option<u64>,
    delay: Option<Delay>,
    chunked: Option<bool>,
    status: Option<Status>,
    fault: Option<Option<Fault>>,
}

impl Asked {
    /// Reads a query; `None` when one of our own keys has a value that means nothing. Other keys are the
    /// client's own affair.
    fn read(&mut self, query: &str) -> Option<()> {
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "size" => self.size = Some(value.parse().ok()?),
                "delay" => self.delay = Some(value.parse().ok()?),
                "chunked" => {
                    self.chunked = Some(match value {
                        "0" => false,
                        "1" => true,
                        _ => return None,
                    });
                }
                "status" => self.status = Some(value.parse().ok()?),
                "fault" => self.fault = Some(Fault::named(value).ok()?),
                _ => {}
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;

    fn script() -> Script {
        Script {
            size: 64,
            delay: Delay::Fixed(Duration::ZERO),
            statuses: "200".parse().unwrap(),
            faults: Faults::default(),
            chunked: false,
        }
    }

    fn plan(script: &Script, request_line: &str) -> Result<Plan, Refusal> {
        let head = format!("{request_line}\r\n\r\n");
        let request = Request::read(head.as_bytes()).unwrap().unwrap();
        script.plan(&request, &mut SmallRng::seed_from_u64(1))
    }

    /// The plan of a request that says nothing.
    fn plain() -> Plan {
        Plan {
            status: Status::OK,
            size: 64,
            chunked: false,
            head_only: false,
            old: false,
            keep: true,
            delay: Duration::ZERO,
            fault: None,
        }
    }

    #[test]
    fn a_query_overrides_the_options_one_by_one() {
        let table = [
            ("/", plain()),
            ("/?", plain()),
            ("/size=3?a=b&c&sizes=7", plain()),
            ("/?size=0", Plan { size: 0, ..plain() }),
            ("/?a=b&size=1048576", Plan { size: 1_048_576, ..plain() }),
            ("/?chunked=1", Plan { chunked: true, ..plain() }),
            ("/?status=503", Plan { status: "503".parse().unwrap(), ..plain() }),
            ("/?delay=fixed:7ms", Plan { delay: Duration::from_millis(7), ..plain() }),
            ("/?fault=garbage", Plan { fault: Some(Fault::Garbage), ..plain() }),
            (
                "/?status=204&chunked=1",
                Plan { status: "204".parse().unwrap(), head_only: true, chunked: true, ..plain() },
            ),
        ];
        for (target, expected) in table {
            let planned = plan(&script(), &format!("GET {target} HTTP/1.1"));
            assert_eq!(planned, Ok(expected), "{target}");
        }
    }

    #[test]
    fn a_query_can_switch_off_what_the_options_switch_on() {
        let script = Script {
            delay: Delay::Fixed(Duration::from_secs(1)),
            faults: "close=100%".parse().unwrap(),
            chunked: true,
            ..script()
        };
        let planned = plan(&script, "GET /?delay=fixed:0s&fault=none&chunked=0 HTTP/1.1");
        assert_eq!(planned, Ok(plain()));
        let planned = plan(&script, "GET / HTTP/1.1").unwrap();
        assert_eq!(planned.delay, Duration::from_secs(1));
        assert_eq!((planned.fault, planned.chunked), (Some(Fault::Close), true));
    }

    #[test]
    fn a_query_that_means_nothing_is_refused() {
        for query in ["size=", "size=-1", "delay=1ms", "chunked=yes", "status=20", "fault=x"] {
            let planned = plan(&script(), &format!("GET /?{query} HTTP/1.1"));
            assert_eq!(planned, Err(Refusal::Query), "{query}");
        }
    }

    #[test]
    fn head_and_old_clients_get_what_they_can_read() {
        let script = Script { chunked: true, ..script() };
        let head = plan(&script, "HEAD / HTTP/1.1").unwrap();
        assert!(head.head_only && head.chunked && head.keep);
        let old = plan(&script, "GET / HTTP/1.0").unwrap();
        assert!(old.old && !old.chunked && !old.keep);
    }
}
