//! One connection to the balancer over HTTP/2: many exchanges at a time, and every part of each response checked for
//! belonging to its request.
//!
//! Owns: the connection, its streams and its buffers. Never: a second chance, but for requests that GOAWAY says were not
//! begun. Tested by `tests/soak.rs`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};

use super::client::{self, Seen};
use super::plan::{Kind, Plan};
use super::tally::{Problem, Tally};
use crate::http2::Fields;
use crate::http2::content::Outlet;
use crate::http2::encoder::Keep;
use crate::http2::frame::{self, WINDOW, code};
use crate::http2::wire::{Event, Terms, Wire, Wrong};
use crate::pattern::Pattern;
use crate::wire::Fault;

/// Largest piece of uploads without a length.
const PIECE_BYTES_MAX: usize = 8 * 1024;

/// A stream gives back its credit once it owes so much.
const CREDIT_BYTES: u32 = 16 * 1024;

/// Room for one read.
const READ_BYTES: usize = 64 * 1024;

/// Windows as they are without a word, so that they are used up and given back.
const TERMS: Terms = Terms { stream_window: WINDOW, window: WINDOW, ..Terms::CLIENT };

/// A kept connection that many exchanges share.
#[derive(Debug)]
pub struct Mux {
    host: String,
    state: Mutex<State>,
    /// There is something to send, or the connection is over.
    wake: Notify,
}

#[derive(Debug)]
struct State {
    wire: Wire,
    out: Vec<u8>,
    streams: HashMap<u32, Stream>,
    next: u32,
    /// GOAWAY has come, or it has ended.
    is_leaving: bool,
    is_over: bool,
}

#[derive(Debug)]
struct Stream {
    plan: Plan,
    outlet: Outlet,
    upload: Vec<u8>,
    sent: usize,
    /// What the head said, if it was right.
    seen: Option<Seen>,
    content: Pattern,
    owed: u32,
    done: oneshot::Sender<Result<Seen, Problem>>,
}

impl Mux {
    /// # Errors
    /// When the connection is refused.
    pub async fn open(address: SocketAddr, tally: &mut Tally) -> Result<Arc<Mux>, Problem> {
        let stream = TcpStream::connect(address).await.map_err(Problem::Connect)?;
        stream.set_nodelay(true).map_err(Problem::Connect)?;
        tally.connections += 1;
        let (read, write) = stream.into_split();
        let (wire, mut out) = (Wire::new(TERMS), Vec::new());
        wire.begin(&mut out);
        let streams = HashMap::new();
        let state = State { wire, out, streams, next: 1, is_leaving: false, is_over: false };
        let (state, wake) = (Mutex::new(state), Notify::new());
        let mux = Arc::new(Mux { host: address.to_string(), state, wake });
        tokio::spawn(Arc::clone(&mux).read_all(read));
        tokio::spawn(Arc::clone(&mux).write_all(write));
        mux.wake.notify_one();
        Ok(mux)
    }

    /// New exchanges need another one.
    pub fn is_leaving(&self) -> bool {
        self.state().is_leaving
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the planned request and checks the response.
    ///
    /// # Errors
    /// Whatever is not exactly as it must be; [`Problem::Unprocessed`] when it can be asked elsewhere.
    pub async fn exchange(&self, plan: &Plan, cookies: Option<String>) -> Result<Seen, Problem> {
        let response = {
            let mut state = self.state();
            if state.is_leaving {
                return Err(Problem::Unprocessed);
            }
            state.ask(plan, &self.host, cookies)
        };
        self.wake.notify_one();
        response.await.unwrap_or(Err(Fault::Ended.into()))
    }

    async fn read_all(self: Arc<Mux>, mut read: OwnedReadHalf) {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = read.read(&mut buffer).await.unwrap_or(0);
            let mut state = self.state();
            let taken = state.take_in(&buffer[..count]);
            if let Err(wrong) = taken {
                frame::write_away(0, wrong.code, &mut state.out);
                state.fail_all(|| Problem::Http2(wrong.what));
            }
            let is_done = state.is_leaving && state.streams.is_empty();
            if count == 0 || taken.is_err() || is_done {
                state.fail_all(|| Fault::Ended.into());
                (state.is_leaving, state.is_over) = (true, true);
                self.wake.notify_one();
                return;
            }
            if !state.out.is_empty() {
                self.wake.notify_one();
            }
        }
    }

    async fn write_all(self: Arc<Mux>, mut write: OwnedWriteHalf) {
        loop {
            let (out, is_over) = {
                let mut state = self.state();
                (std::mem::take(&mut state.out), state.is_over)
            };
            // Whoever reads notices the end as well.
            let is_broken = !out.is_empty() && write.write_all(&out).await.is_err();
            if is_over || is_broken {
                return;
            }
            if out.is_empty() {
                self.wake.notified().await;
            }
        }
    }
}

impl State {
    fn ask(
        &mut self,
        plan: &Plan,
        host: &str,
        cookies: Option<String>,
    ) -> oneshot::Receiver<Result<Seen, Problem>> {
        let (done, response) = oneshot::channel();
        let id = self.next;
        self.next += 2;
        let digits = String::from_utf8_lossy(&plan.id);
        let path = client::path(plan);
        let upload_size = plan.upload_size.to_string();
        let mut fields = vec![
            (":method", plan.kind.method(), Keep::Yes),
            (":scheme", "http", Keep::Yes),
            (":authority", host, Keep::Yes),
            (":path", &path, Keep::No),
            ("x-soak-id", &digits, Keep::No),
        ];
        // Crumbs, as browsers send them (RFC 9113 §8.2.3).
        let crumbs = cookies.as_deref().unwrap_or_default().split("; ");
        fields.extend(
            crumbs.filter(|crumb| !crumb.is_empty()).map(|crumb| ("cookie", crumb, Keep::Yes)),
        );
        if plan.kind == Kind::Post {
            fields.push(("content-length", &upload_size, Keep::No));
        }
        let mut block = Vec::new();
        self.wire.encoder.begin(&mut block);
        for (name, value, keep) in fields {
            self.wire.encoder.field(name.as_bytes(), value.as_bytes(), keep, &mut block);
        }
        let mut upload = Vec::new();
        Pattern::new(plan.id).make(plan.upload_size, &mut upload);
        // A chunked one may be empty, and says so by a frame of its own.
        let ends = upload.is_empty() && plan.kind != Kind::Chunked;
        frame::write_head(id, ends, &block, &mut self.out);
        let mut stream = Stream {
            outlet: Outlet { stream: id, window: self.wire.stream_window },
            upload,
            sent: 0,
            seen: None,
            content: Pattern::new(plan.id),
            owed: 0,
            done,
            plan: plan.clone(),
        };
        if !ends {
            stream.send(&mut self.wire, &mut self.out);
        }
        self.streams.insert(id, stream);
        response
    }

    /// Takes in what has come.
    fn take_in(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let mut input = bytes;
        while let Some(event) = self.wire.next(&mut input, &mut self.out)? {
            match event {
                Event::Head { stream, ends } => self.take_head(stream, ends)?,
                Event::Data { stream: id, bytes, ends } => {
                    let Some(stream) = self.streams.get_mut(&id) else { continue };
                    stream.content.check(bytes);
                    stream.owed += bytes.len() as u32;
                    if stream.owed > WINDOW {
                        return Err(Wrong::protocol("more content than the stream's window"));
                    }
                    if stream.owed >= CREDIT_BYTES && !ends {
                        let credit = std::mem::take(&mut stream.owed);
                        frame::write_window(id, credit, &mut self.out);
                    }
                    if ends {
                        self.end(id);
                    }
                }
                Event::Reset { stream, code } => {
                    self.fail(stream, Problem::Reset(code::name(code)));
                }
                Event::Away { last, code } => {
                    self.is_leaving = true;
                    let left: Vec<u32> =
                        self.streams.keys().copied().filter(|id| *id > last).collect();
                    for id in left {
                        self.fail(
                            id,
                            match code {
                                code::NO_ERROR => Problem::Unprocessed,
                                code => Problem::Away(code::name(code)),
                            },
                        );
                    }
                }
                Event::Window { stream, by } => {
                    if let Some(stream) = self.streams.get_mut(&stream) {
                        stream.outlet.window += i64::from(by);
                    }
                    self.send_more();
                }
                Event::Settings { delta } => {
                    self.streams.values_mut().for_each(|one| one.outlet.window += delta);
                    self.send_more();
                }
            }
        }
        Ok(())
    }

    fn take_head(&mut self, id: u32, ends: bool) -> Result<(), Wrong> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if stream.seen.is_none() {
            match read_head(&self.wire.fields, &stream.plan) {
                Ok(None) if ends => return Err(Wrong::protocol("an interim response that ends")),
                Ok(None) => return Ok(()),
                Ok(Some(seen)) => stream.seen = Some(seen),
                Err(problem) => {
                    frame::write_reset(id, code::CANCEL, &mut self.out);
                    self.fail(id, problem);
                    return Ok(());
                }
            }
        } else if !ends {
            return Err(Wrong::protocol("trailers that do not end their stream"));
        }
        if ends {
            self.end(id);
        }
        Ok(())
    }

    /// A response is whole.
    fn end(&mut self, id: u32) {
        let Some(stream) = self.streams.remove(&id) else { return };
        let has_content = stream.plan.kind != Kind::Head;
        let expected = if has_content { stream.plan.response_size as u64 } else { 0 };
        let found = match stream.seen {
            None => Err(Problem::Head),
            Some(_) if stream.content.count != expected => {
                Err(Problem::Size { expected, seen: stream.content.count })
            }
            Some(_) if !stream.content.intact => Err(Problem::ForeignBytes),
            Some(_) if stream.sent < stream.upload.len() => Err(Problem::UploadDamaged),
            Some(seen) => Ok(seen),
        };
        // Who asked may have had enough of waiting.
        let _ = stream.done.send(found);
    }

    fn fail(&mut self, id: u32, problem: Problem) {
        if let Some(stream) = self.streams.remove(&id) {
            // Who asked may have had enough of waiting.
            let _ = stream.done.send(Err(problem));
        }
    }

    fn fail_all(&mut self, problem: impl Fn() -> Problem) {
        for (_, stream) in self.streams.drain() {
            // Who asked may have had enough of waiting.
            let _ = stream.done.send(Err(problem()));
        }
    }

    fn send_more(&mut self) {
        let State { streams, wire, out, .. } = self;
        let sending = streams.values_mut().filter(|one| one.sent < one.upload.len());
        sending.for_each(|stream| stream.send(wire, out));
    }
}

impl Stream {
    /// Sends as much as windows allow; what has no length, in pieces of any size.
    fn send(&mut self, wire: &mut Wire, out: &mut Vec<u8>) {
        loop {
            let left = self.upload.len() - self.sent;
            let piece = match self.plan.kind {
                Kind::Chunked => left.min(rand::rng().random_range(1..=PIECE_BYTES_MAX)),
                _ => left,
            };
            let bytes = &self.upload[self.sent..self.sent + piece];
            let sent = wire.allowance.write(&mut self.outlet, bytes, piece == left, out);
            self.sent += sent;
            if sent < piece || self.sent == self.upload.len() {
                return;
            }
        }
    }
}

/// Reads a response's head and checks everything in it that belongs to the request; `None` for an interim one.
fn read_head(fields: &Fields, plan: &Plan) -> Result<Option<Seen>, Problem> {
    let text =
        |name: &str| fields.get(name.as_bytes()).and_then(|value| str::from_utf8(value).ok());
    let status = text(":status").and_then(|value| value.parse().ok()).ok_or(Problem::Head)?;
    if (100..200).contains(&status) {
        return Ok(None);
    }
    let target = client::judge_head(status, plan, text)?;
    let cookies = fields.iter().filter(|field| field.0 == b"set-cookie");
    let cookies = cookies.filter_map(|field| client::cookie(field.1)).collect();
    Ok(Some(Seen { target, cookies, keep: true }))
}
