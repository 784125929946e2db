//! HTTP/2 between the clients of a thread and their sockets: each connection with many streams.
//!
//! Owns: what each thing that comes means for the numbers. Never: who asks next, or the verdict, which are those of
//! HTTP/1.1. Tested by `tests/http2.rs`.

use super::super::asked::NOBODY;
use super::super::manner::Manner;
use super::super::streams::{Stream, Streams, Went};
use super::{Clients, Problem};
use crate::http2::frame::{self, code};
use crate::http2::wire::{Event, Wrong};
use crate::ring::Queue;

/// A stream gives back its credit once it owes so much.
const CREDIT_BYTES: u32 = 16 * 1024;

impl Clients {
    /// Begins to speak HTTP/2 on a connection that is there, if it is spoken.
    pub(super) fn begin_streams(&mut self, index: usize) {
        let Some(terms) = self.manner.http2 else { return };
        let mut streams = Streams::begin(terms, &mut self.out);
        for _ in 0..self.manner.stalled {
            streams.ask(&self.plan.slow, None, &[], &mut self.out);
            self.tally.slow.clients += 1;
        }
        self.connections[index].streams = Some(Box::new(streams));
    }

    pub(super) fn take_in_streams(
        &mut self,
        queue: &mut Queue,
        index: usize,
        bytes: &[u8],
        now_ns: u64,
    ) {
        let mut input = bytes;
        loop {
            match self.go_on_in_streams(index, &mut input) {
                Ok(None) => break,
                Ok(Some(Went::On)) => {}
                Ok(Some(Went::Done(stream))) => self.complete_stream(index, &stream, now_ns),
                Ok(Some(Went::Failed(stream, problem))) => self.fail_stream(&stream, problem),
                // RFC 9113 §6.8: nothing was done about them, so that they can be asked again.
                Ok(Some(Went::Left(streams, code::NO_ERROR))) => {
                    streams.iter().for_each(|stream| self.take_back(stream));
                }
                Ok(Some(Went::Left(streams, _))) => {
                    streams.iter().for_each(|stream| self.fail_stream(stream, Problem::Away));
                }
                Err(wrong) => return self.is_wrong(queue, index, now_ns, wrong),
            }
        }
        let Some(streams) = &mut self.connections[index].streams else { return };
        streams.send_more(&mut self.out);
        if streams.is_leaving && streams.waiting() == 0 {
            self.send(queue, index);
            return self.lose(queue, index, now_ns, Problem::Closed);
        }
        self.go_on(queue, index, now_ns);
        // What is owed goes out even if nothing is asked.
        self.send(queue, index);
    }

    /// Takes in the next thing that has come on a connection; `None` when nothing is left.
    fn go_on_in_streams(&mut self, index: usize, input: &mut &[u8]) -> Result<Option<Went>, Wrong> {
        let Clients { connections, sessions, tally, out, .. } = self;
        let Some(streams) = &mut connections[index].streams else { return Ok(None) };
        let Some(event) = streams.wire.next(input, out)? else { return Ok(None) };
        match event {
            Event::Head { stream: id, ends } => {
                let Some(place) = streams.place(id) else { return streams.unasked(id) };
                let stream = &mut streams.open[place];
                if stream.has_head && !ends {
                    return Err(Wrong::protocol("trailers that do not end their stream"));
                }
                if let Some(asked) = &stream.asked
                    && asked.user != NOBODY
                {
                    let cookies =
                        streams.wire.fields.iter().filter(|field| field.0 == b"set-cookie");
                    cookies.for_each(|field| sessions.set_cookie(asked.user, field.1));
                }
                stream.take_head(&streams.wire.fields, |name| tally.target(name))?;
                match ends {
                    true => streams.end(place, out),
                    false => Ok(Some(Went::On)),
                }
            }
            Event::Data { stream: id, bytes, ends } => {
                let Some(place) = streams.place(id) else { return streams.unasked(id) };
                let stream = &mut streams.open[place];
                if !stream.has_head {
                    return Err(Wrong::protocol("content before a head"));
                }
                stream.seen.content += bytes.len() as u64;
                stream.owed += bytes.len() as u32;
                if stream.owed > streams.terms.stream_window {
                    return Err(Wrong::protocol("more content than the stream's window"));
                }
                if stream.asked.is_none() {
                    tally.slow.bytes += bytes.len() as u64;
                } else if stream.owed >= CREDIT_BYTES && !ends {
                    frame::write_window(id, std::mem::take(&mut stream.owed), out);
                }
                match ends {
                    true => streams.end(place, out),
                    false => Ok(Some(Went::On)),
                }
            }
            Event::Reset { stream: id, code } => {
                let Some(place) = streams.place(id) else { return streams.unasked(id) };
                *tally.codes.entry(code::name(code)).or_default() += 1;
                Ok(Some(Went::Failed(streams.remove(place), Problem::Reset)))
            }
            Event::Away { last, code } => {
                if code != code::NO_ERROR {
                    *tally.codes.entry(code::name(code)).or_default() += 1;
                    if streams.waiting() == 0 {
                        tally.problem(Problem::Away);
                    }
                }
                Ok(Some(Went::Left(streams.leave(last), code)))
            }
            Event::Window { stream: id, by } => {
                if let Some(place) = streams.place(id) {
                    streams.open[place].outlet.window += i64::from(by);
                }
                Ok(Some(Went::On))
            }
            Event::Settings { delta } => {
                streams.open.iter_mut().for_each(|stream| stream.outlet.window += delta);
                Ok(Some(Went::On))
            }
        }
    }

    fn complete_stream(&mut self, index: usize, stream: &Stream, now_ns: u64) {
        let Some(asked) = stream.asked else { return self.tally.slow.responses += 1 };
        let mut seen = stream.seen;
        // As a status that is not as expected, whatever gRPC says of it.
        if self.manner.grpc && stream.grpc != Some(true) {
            seen.status = 0;
        }
        self.judge(index, asked, seen, now_ns);
    }

    fn fail_stream(&mut self, stream: &Stream, problem: Problem) {
        let Some(asked) = stream.asked else { return self.tally.slow.ended += 1 };
        self.waiting -= 1;
        self.tally.problem(problem);
        self.give_back(asked.user);
    }

    /// A request that the other side has not begun with is as one that was not asked.
    fn take_back(&mut self, stream: &Stream) {
        let Some(asked) = stream.asked else { return self.tally.slow.ended += 1 };
        self.waiting -= 1;
        self.tally.unprocessed += 1;
        self.give_back(asked.user);
        if asked.is_measured {
            self.tally.requests -= 1;
            self.phases.take_back();
        }
        if let Some(schedule) = &mut self.schedule {
            schedule.put_back(asked.intended_ns);
        }
    }

    /// What came is not HTTP/2: says so and ends the connection.
    fn is_wrong(&mut self, queue: &mut Queue, index: usize, now_ns: u64, wrong: Wrong) {
        self.tally.first_refusal.get_or_insert_with(|| format!("HTTP/2: {wrong}"));
        if self.connections[index].waiting() == 0 {
            self.tally.problem(Problem::Garbage);
        }
        frame::write_away(0, wrong.code, &mut self.out);
        self.send(queue, index);
        self.lose(queue, index, now_ns, Problem::Garbage);
    }

    /// Gives up what has taken too long.
    pub(super) fn look_at_streams(&mut self, queue: &mut Queue, index: usize, now_ns: u64) {
        let Manner { timeout_ns, .. } = self.manner;
        let Some(streams) = &mut self.connections[index].streams else { return };
        let is_late = |stream: &Stream| {
            stream.asked.is_some_and(|asked| now_ns.saturating_sub(asked.sent_ns) > timeout_ns)
        };
        let mut late = Vec::new();
        while let Some(place) = streams.open.iter().position(is_late) {
            let stream = streams.remove(place);
            frame::write_reset(stream.id(), code::CANCEL, &mut self.out);
            late.push(stream);
        }
        if !late.is_empty() {
            late.iter().for_each(|stream| self.fail_stream(stream, Problem::Timeout));
            self.send(queue, index);
            self.go_on(queue, index, now_ns);
        }
    }
}
