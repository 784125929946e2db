//! A simulated client: sends its requests in pieces, cuts where its plan says, and reads the responses.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::Board;
use super::message::{self, End, Head, Reader};
use super::plan::{Client, Cut, Framing, Plan, Request, Tunnel};
use crate::transport::stream::Stream;
use crate::uring::simulated::{self, now_us, wait};
use crate::uring::{Shutdown, spawn};

/// How long a client waits at most for limpet to close a connection.
const LAST: Duration = Duration::from_secs(60);

/// The observations of one client on its connection.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub index: usize,
    /// In the order in which they came.
    pub responses: Vec<Response>,
    /// Requests that were sent whole, and when the first byte of each was.
    pub sent: Vec<(u32, u64)>,
    /// Requests whose head was sent whole.
    pub heads_sent: Vec<u32>,
    /// How limpet ended the connection.
    pub end: Option<End>,
    /// How this client has cut the connection, if it has.
    pub cut: Option<Cut>,
    pub cut_us: u64,
    /// Whether it has ended its side before everything was sent.
    pub has_ended: bool,
    /// A violation of the protocol.
    pub fault: Option<String>,
}

/// A final response.
#[derive(Debug)]
pub(super) struct Response {
    pub status: u16,
    /// The request that its target answered, if a target made it.
    pub id: Option<u32>,
    pub content: Vec<u8>,
    pub end: End,
    pub ended_us: u64,
    /// Whether it announces the close of the connection.
    pub closes: bool,
}

/// The state that writer and reader of one connection share.
#[derive(Default)]
pub(super) struct Talk {
    /// How many final responses have come.
    answered: Cell<usize>,
    /// Whether a 100 has come for the current request.
    may_continue: Cell<bool>,
    pub(super) is_over: Cell<bool>,
    pub(super) cut: Cell<Option<Cut>>,
    cut_us: Cell<u64>,
    has_ended: Cell<bool>,
    /// Whether a send has reported a reset. The kernel reports one once: a receive then finds an end.
    was_reset: Cell<bool>,
    /// Whether it became a tunnel.
    is_tunnel: Cell<bool>,
    /// Whether it closes without the record of the end.
    is_rude: bool,
}

pub(super) async fn run(
    stream: Stream,
    plan: &Rc<Plan>,
    index: usize,
    board: &Board,
    talk: Rc<Talk>,
) {
    let client = &plan.clients[index];
    let sent = Rc::new(std::cell::RefCell::new((Vec::new(), Vec::new())));
    let is_written = Rc::new(Cell::new(false));
    let writing = {
        let (stream, talk, sent, plan) =
            (stream.clone(), Rc::clone(&talk), Rc::clone(&sent), Rc::clone(plan));
        let is_written = Rc::clone(&is_written);
        async move {
            write(&stream, &plan.clients[index], &talk, &sent).await;
            is_written.set(true);
        }
    };
    spawn(writing);
    if let Some((after, how)) = client.leaves {
        let (stream, talk) = (stream.clone(), Rc::clone(&talk));
        spawn(async move {
            wait(after).await;
            leave(&stream, how, &talk);
        });
    }
    let mut seen = Seen { index, ..Seen::default() };
    let mut reader = Reader::new(stream.clone(), client.reads_after);
    if let Err(fault) = read(&mut reader, client, &talk, &mut seen).await {
        seen.fault = Some(fault);
    }
    talk.is_over.set(true);
    seen.end = reader.ended;
    while !is_written.get() {
        wait(Duration::from_millis(20)).await;
    }
    if talk.was_reset.get() {
        let last = seen.responses.last_mut().filter(|last| last.end == End::ByClose);
        last.into_iter().for_each(|last| last.end = End::ByReset);
    }
    let (whole, heads) = sent.take();
    (seen.sent, seen.heads_sent) = (whole, heads);
    (seen.cut, seen.cut_us) = (talk.cut.get(), talk.cut_us.get());
    seen.has_ended = talk.has_ended.get();
    // Ends the stream, which would stay open otherwise.
    stream.end();
    simulated::unwatch(stream.socket());
    board.clients.borrow_mut().push(seen);
}

impl Talk {
    pub(super) fn new(is_rude: bool) -> Talk {
        Talk { is_rude, ..Talk::default() }
    }

    /// Notes that the client cuts the connection now.
    pub(super) fn cuts(&self, how: Cut) {
        self.cut.set(Some(how));
        let ends = !self.is_rude && matches!(how, Cut::HalfClose | Cut::Close);
        self.has_ended.set(self.has_ended.get() || ends);
        self.cut_us.set(now_us().unwrap_or(0));
    }
}

pub(super) fn leave(stream: &Stream, how: Cut, talk: &Talk) {
    if talk.is_over.get() {
        return;
    }
    talk.cuts(how);
    match how {
        Cut::HalfClose if talk.is_rude => stream.socket().shutdown(Shutdown::Write),
        Cut::HalfClose => stream.end_sending(),
        Cut::Close if talk.is_rude => stream.socket().shutdown(Shutdown::Both),
        Cut::Close => stream.end(),
        Cut::Reset => stream.abort(),
        Cut::Stall => simulated::stalls(stream.socket()),
    }
}

/// The bytes of a request's head.
fn head_of(request: &Request) -> Vec<u8> {
    let Request { id, method, version, .. } = request;
    let mut head = format!("{method} /r/{id} {version}\r\nHost: example.com\r\n");
    match request.content {
        Some((Framing::Length, length)) => {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        Some(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
        None => {}
    }
    if request.expects_continue {
        head.push_str("Expect: 100-continue\r\n");
    }
    match (request.upgrades, request.is_last) {
        (true, _) => head.push_str("Upgrade: websocket\r\nConnection: upgrade\r\n"),
        (false, true) => head.push_str("Connection: close\r\n"),
        (false, false) if *version == "HTTP/1.0" => head.push_str("Connection: keep-alive\r\n"),
        (false, false) => {}
    }
    head.push_str("\r\n");
    head.into_bytes()
}

type SentRequests = std::cell::RefCell<(Vec<(u32, u64)>, Vec<u32>)>;

async fn write(stream: &Stream, client: &Client, talk: &Talk, sent: &SentRequests) {
    for (at, request) in client.requests.iter().enumerate() {
        while at > 0 && !client.pipelines && talk.answered.get() < at && !talk.is_over.get() {
            wait(Duration::from_millis(1)).await;
        }
        wait(client.pause).await;
        if talk.is_over.get() || talk.cut.get().is_some() {
            return;
        }
        let began_us = now_us().unwrap_or(0);
        talk.may_continue.set(false);
        let head = head_of(request);
        let mut message = head.clone();
        if let Some((framing, length)) = request.content {
            message::put_content(
                &mut message,
                &message::content(request.id, false, length),
                framing,
            );
        }
        let cut = request.cut.filter(|(after, _)| *after < message.len());
        if request.is_tunnel() && cut.is_none() {
            let early = &message::content(request.id, false, request.tunnel.early);
            message.extend_from_slice(early);
        }
        let until = cut.map_or(message.len(), |(after, _)| after);
        let head_until = until.min(head.len());
        let has_head = pieces(stream, &message[..head_until], request, talk).await;
        // A head that was cut meanwhile may not have arrived.
        if has_head && head_until == head.len() && talk.cut.get().is_none() {
            sent.borrow_mut().1.push(request.id);
        }
        if request.expects_continue {
            let mut waited = 0;
            while !talk.may_continue.get() && talk.answered.get() <= at && waited < 100 {
                wait(Duration::from_millis(10)).await;
                waited += 1;
            }
        }
        if !has_head || !pieces(stream, &message[head_until..until], request, talk).await {
            return;
        }
        if let Some((_, how)) = cut {
            leave(stream, how, talk);
            return;
        }
        sent.borrow_mut().0.push((request.id, began_us));
        if request.is_tunnel() {
            return speak(stream, request, talk).await;
        }
    }
}

/// Sends the rest of the client's bytes for a tunnel, once there is one, and ends sending.
async fn speak(stream: &Stream, request: &Request, talk: &Talk) {
    while !talk.is_tunnel.get() {
        if talk.is_over.get() || talk.cut.get().is_some() {
            return;
        }
        wait(Duration::from_millis(1)).await;
    }
    let Tunnel { early, late, .. } = request.tunnel;
    let whole = message::content(request.id, false, early + late);
    if pieces(stream, &whole[early..], request, talk).await && talk.cut.get().is_none() {
        stream.end_sending();
    }
}

/// Sends `bytes` in the request's pieces; `false` when the connection has ended.
async fn pieces(stream: &Stream, bytes: &[u8], request: &Request, talk: &Talk) -> bool {
    for piece in bytes.chunks(request.piece) {
        let (result, _) = stream.send(piece.to_vec(), 0, true).await;
        if !matches!(result, Ok(count) if count == piece.len()) {
            // A send that took a part of the bytes does not report why it ended.
            let kind = result.err().map(|error| error.kind());
            talk.was_reset.set(kind.is_none_or(|kind| kind == io::ErrorKind::ConnectionReset));
            return false;
        }
        if !request.pause.is_zero() {
            wait(request.pause).await;
        }
    }
    true
}

/// Reads responses until the connection ends.
async fn read(
    reader: &mut Reader,
    client: &Client,
    talk: &Talk,
    seen: &mut Seen,
) -> Result<(), String> {
    while let Some(head) = reader.head().await? {
        let status = status(&head)?;
        if status == 101 {
            talk.is_tunnel.set(true);
            seen.responses.push(Response {
                status,
                id: id(&head),
                content: Vec::new(),
                end: End::Complete,
                ended_us: now_us().unwrap_or(0),
                closes: true,
            });
            talk.answered.set(talk.answered.get() + 1);
            let (content, end) = reader.rest().await;
            if let Some(last) = seen.responses.last_mut() {
                (last.content, last.end, last.ended_us) = (content, end, now_us().unwrap_or(0));
            }
            return Ok(());
        }
        if status < 200 {
            talk.may_continue.set(talk.may_continue.get() || status == 100);
            continue;
        }
        let request = client.requests.get(talk.answered.get());
        // A target that does not get the whole head does not know the method.
        let is_known = |request: &Request| {
            request.cut.is_none_or(|(after, _)| after >= head_of(request).len())
        };
        let is_empty = request.is_some_and(|request| request.method == "HEAD" && is_known(request))
            || matches!(status, 204 | 304);
        let mut response = Response {
            status,
            id: id(&head),
            content: Vec::new(),
            end: End::Complete,
            ended_us: 0,
            closes: head
                .field("Connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close")),
        };
        if !is_empty {
            (response.content, response.end) = reader.content(&head, true).await?;
        }
        response.ended_us = now_us().unwrap_or(0);
        let closes = response.closes;
        seen.responses.push(response);
        talk.answered.set(talk.answered.get() + 1);
        // The early bytes of a tunnel are no request now, and their result is not awaited.
        let was_early = request.is_some_and(|it| it.is_tunnel() && it.tunnel.early > 0);
        if was_early {
            return Ok(());
        }
        if closes || talk.answered.get() == client.requests.len() {
            break;
        }
    }
    rest(reader, client, talk).await
}

/// Waits for the end of the connection: limpet's own, or this client's once it has all responses.
async fn rest(reader: &mut Reader, client: &Client, talk: &Talk) -> Result<(), String> {
    if talk.answered.get() == client.requests.len()
        && !client.requests.last().is_some_and(|last| last.is_last)
    {
        return Ok(());
    }
    let began_us = now_us().unwrap_or(0);
    while reader.ended.is_none() {
        if !reader.unread().is_empty() {
            return Err(format!("bytes behind the last response: {:?}", reader.unread()));
        }
        reader.more().await;
    }
    let waited_us = now_us().unwrap_or(0) - began_us;
    if u128::from(waited_us) > LAST.as_micros() {
        return Err(format!("the connection ended after {waited_us} us"));
    }
    Ok(())
}

fn id(head: &Head) -> Option<u32> {
    head.field("X-Id")?.parse().ok()
}

fn status(head: &Head) -> Result<u16, String> {
    let mut words = head.start.splitn(3, ' ');
    match (words.next(), words.next().and_then(|status| status.parse().ok())) {
        (Some("HTTP/1.1"), Some(status)) => Ok(status),
        _ => Err(format!("a status line {:?}", head.start)),
    }
}
