//! One client's requests, in their order: the states of a connection without its socket.
//!
//! Owns: where in a request the connection is, and the answer that is due. Never: a socket, a clock, or
//! a second request before the first one's answer has been written. Tested below.
//!
//! ```text
//!   Head ──▶ Content ──▶ Due ──answer──▶ Head
//!     └───────────────────▲
//! ```

use std::time::Duration;

use rand::Rng;

use super::answer::{Answers, Rest};
use super::content::Content;
use super::mix::Fault;
use super::request::{Refusal, Request};
use super::script::{Plan, Script};

/// The exchange that a connection is in.
#[derive(Debug)]
pub struct Talk {
    place: Place,
    /// The answer to the present request.
    plan: Option<Plan>,
    /// Value of the present request's X-Echo.
    echo: Vec<u8>,
    has_echo: bool,
    /// Bytes of the present request's content; `None` when it has none.
    received: Option<u64>,
}

#[derive(Debug)]
enum Place {
    Head,
    Content(Content),
    /// The request has arrived whole and has not been answered.
    Due,
    /// The request cannot be answered as asked.
    Refused(Refusal),
}

/// What is to be done about a request that has arrived whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Hold the answer back so long.
    pub delay: Duration,
    /// Do this instead of answering.
    pub fault: Option<Fault>,
    /// Go on with the connection after the answer.
    pub keep: bool,
    /// The request could not be read, so that more of it may be on its way.
    pub refused: bool,
}

impl Due {
    /// A refusal is due at once, and the connection ends with it.
    const REFUSAL: Due = Due { delay: Duration::ZERO, fault: None, keep: false, refused: true };
}

impl Talk {
    pub fn new() -> Talk {
        Talk { place: Place::Head, plan: None, echo: Vec::new(), has_echo: false, received: None }
    }

    /// Takes what belongs to the present request from the beginning of `bytes`; returns how many bytes
    /// that was, and what is due when the request ended with them. What was not taken is to be given
    /// again, with more behind it. A 100 Continue that the client waits for is written to `out`.
    pub fn read(
        &mut self,
        bytes: &[u8],
        script: &Script,
        random: &mut impl Rng,
        out: &mut Vec<u8>,
    ) -> (usize, Option<Due>) {
        let read = self.advance(bytes, script, random, out);
        read.unwrap_or_else(|refusal| {
            self.place = Place::Refused(refusal);
            (bytes.len(), Some(Due::REFUSAL))
        })
    }

    fn advance(
        &mut self,
        bytes: &[u8],
        script: &Script,
        random: &mut impl Rng,
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<Due>), Refusal> {
        let mut used = 0;
        if let Place::Head = self.place {
            let Some(request) = Request::read(bytes)? else { return Ok((0, None)) };
            used = request.head_bytes;
            let plan = script.plan(&request, random)?;
            self.echo.clear();
            self.echo.extend_from_slice(request.echo.unwrap_or_default());
            self.has_echo = request.echo.is_some();
            self.received = None;
            self.plan = Some(plan);
            let Some(framing) = request.framing else { return Ok((used, Some(self.due(&plan)))) };
            // RFC 9110 §10.1.1: a client that has begun with the content no longer waits.
            if request.expects && bytes.len() == used {
                out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            self.place = Place::Content(Content::new(framing));
        }
        let (Place::Content(content), Some(plan)) = (&mut self.place, self.plan) else {
            return Ok((used, None));
        };
        let (count, ended) = content.take(&bytes[used..])?;
        used += count;
        if !ended {
            return Ok((used, None));
        }
        self.received = Some(content.received);
        Ok((used, Some(self.due(&plan))))
    }

    fn due(&mut self, plan: &Plan) -> Due {
        self.place = Place::Due;
        Due { delay: plan.delay, fault: plan.fault, keep: plan.keep, refused: false }
    }

    /// Writes the answer that is due to `out`, but for what it returns; nothing when none is due. The
    /// next request may be read then.
    pub fn answer(&mut self, answers: &Answers, out: &mut Vec<u8>) -> Option<Rest> {
        match (std::mem::replace(&mut self.place, Place::Head), &self.plan) {
            (Place::Due, Some(plan)) => {
                let echo = self.has_echo.then_some(self.echo.as_slice());
                answers.write(plan, echo, self.received, out)
            }
            (Place::Refused(refusal), _) => {
                answers.refuse(refusal, out);
                None
            }
            (place, _) => {
                self.place = place;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::super::delay::Delay;
    use super::super::mix::Faults;
    use super::*;

    /// Gives `message` in pieces of `piece` bytes, answering what is due at once; returns all that was
    /// written. Ends with the first answer that ends the connection.
    fn exchange(message: &[u8], piece: usize) -> String {
        let script = Script {
            size: 3,
            delay: Delay::Fixed(Duration::ZERO),
            statuses: "200".parse().unwrap(),
            faults: Faults::default(),
            chunked: false,
        };
        let (answers, mut random) = (Answers::new("a"), SmallRng::seed_from_u64(1));
        let (mut talk, mut held, mut out) = (Talk::new(), Vec::new(), Vec::new());
        'all: for more in message.chunks(piece) {
            held.extend_from_slice(more);
            loop {
                let (used, due) = talk.read(&held, &script, &mut random, &mut out);
                held.drain(..used);
                let Some(due) = due else { break };
                assert_eq!(talk.answer(&answers, &mut out), None);
                if !due.keep {
                    break 'all;
                }
            }
        }
        String::from_utf8(out).unwrap()
    }

    fn answer(fields: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nX-Target: a\r\n{fields}Content-Type: text/plain\r\n\
             Content-Length: 3\r\n\r\nxxx"
        )
    }

    #[test]
    fn requests_are_answered_in_their_order_however_they_arrive() {
        let message = b"GET / HTTP/1.1\r\nX-Echo: 1\r\n\r\n\
            POST / HTTP/1.1\r\nContent-Length: 4\r\nX-Echo: 2\r\n\r\nGET \
            POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
            GET / HTTP/1.1\r\nX-Echo:\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        let expected = [
            answer("X-Request-Echo: 1\r\n"),
            answer("X-Request-Echo: 2\r\nX-Request-Received: 4\r\n"),
            answer("X-Request-Received: 5\r\n"),
            answer("X-Request-Echo: \r\nConnection: close\r\n"),
        ];
        for piece in 1..=message.len() {
            assert_eq!(exchange(message, piece), expected.concat(), "pieces of {piece}");
        }
    }

    #[test]
    fn the_client_is_told_to_continue_only_when_it_waits() {
        const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
        let head = "PUT / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
        let received = answer("X-Request-Received: 2\r\n");
        let all = format!("{head}ab");
        assert_eq!(exchange(all.as_bytes(), head.len()), format!("{CONTINUE}{received}"));
        assert_eq!(exchange(all.as_bytes(), all.len()), received);
        let empty = head.replace("Length: 2", "Length: 0");
        assert_eq!(exchange(empty.as_bytes(), 1024), answer(""), "no content to wait for");
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_nothing_after_it_is_read() {
        for (message, status) in [
            ("hello\r\n\r\n", 400),
            ("GET /?size=x HTTP/1.1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ] {
            let answers = exchange(format!("{message}GET / HTTP/1.1\r\n\r\n").as_bytes(), 1024);
            assert!(answers.starts_with(&format!("HTTP/1.1 {status} ")), "{answers}");
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
        }
    }
}
