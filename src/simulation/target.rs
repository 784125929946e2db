//! A simulated target: reads each request strictly, and handles it as its plan says.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::Board;
use super::message::{self, End, Head, Reader};
use super::plan::{Chance, Cut, Framing, Plan, Request, Then};
use crate::transport::stream::Stream;
use crate::uring::simulated::{self, Answer, wait};
use crate::uring::{Shutdown, spawn};

/// The observations of a target about one request.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub content: Vec<u8>,
    /// How the content ended; `None` where it was not read.
    pub end: Option<End>,
    /// Whether the whole response was sent.
    pub is_answered: bool,
    /// The bytes that came through a tunnel, and how it ended if it did while the target listened.
    pub tunnel: (Vec<u8>, Option<End>),
    /// A violation of the protocol.
    pub fault: Option<String>,
}

pub(super) fn listen(address: SocketAddr, plan: &Rc<Plan>, board: &Rc<Board>) {
    let answers = Rc::clone(plan);
    let chance = std::cell::RefCell::new(Chance::new(plan.seed ^ u64::from(address.port())));
    let answer = move || {
        let drawn = chance.borrow_mut().below(1000);
        if drawn < u64::from(answers.refuses) {
            Answer::Refused { after_us: answers.connects_after_us }
        } else if drawn < u64::from(answers.refuses + answers.silent) {
            Answer::Silence
        } else {
            Answer::Accepted { after_us: answers.connects_after_us }
        }
    };
    let (plan, board) = (Rc::clone(plan), Rc::clone(board));
    let chance = std::cell::RefCell::new(Chance::new(plan.seed));
    simulated::listen(address, answer, move |socket| {
        let mut chance = chance.borrow_mut();
        let stream = plan.records.of_target(socket);
        if chance.below(1000) < u64::from(plan.speaks_first) {
            return spawn(speak_first(stream, chance.of(&[100, 3_000, 30_000])));
        }
        spawn(serve(stream, Rc::clone(&plan), Rc::clone(&board)));
    });
}

/// The id of a response that was sent without a request.
pub(super) const UNASKED: u32 = u32::MAX;
/// The surplus bytes behind a response.
const SURPLUS: &[u8] = b"HTTP/1.1 200 Surplus\r\nX-Id: 4294967294\r\nContent-Length: 0\r\n\r\n";

/// Begins a response that lasts until the connection ends, and resets.
async fn speak_first(stream: Stream, after_us: u64) {
    let response =
        format!("HTTP/1.1 200 First\r\nX-Id: {UNASKED}\r\nConnection: close\r\n\r\nhello");
    let _ = stream.send(response.into_bytes(), 0, true).await;
    wait(Duration::from_micros(after_us)).await;
    stream.abort();
}

async fn serve(stream: Stream, plan: Rc<Plan>, board: Rc<Board>) {
    let mut reader = Reader::new(stream.clone(), Duration::ZERO);
    let mut has_said_more = false;
    loop {
        let head = match reader.head().await {
            Ok(Some(head)) => head,
            Ok(None) => break,
            Err(fault) => {
                note(&board, u32::MAX, seen(Some(fault)));
                break;
            }
        };
        let id =
            head.start.split(' ').nth(1).and_then(|path| path.strip_prefix("/r/")?.parse().ok());
        let Some(request) = id.and_then(|id| plan.request(id)) else {
            note(&board, u32::MAX, seen(Some(format!("a request {:?}", head.start))));
            break;
        };
        if has_said_more {
            note(&board, request.id, seen(Some("it came behind surplus bytes".to_owned())));
            break;
        }
        if !exchange((&stream, &*plan), &mut reader, &head, request, &board).await {
            break;
        }
        has_said_more = has_surplus(request);
    }
    stream.end();
}

fn seen(fault: Option<String>) -> Seen {
    Seen { content: Vec::new(), end: None, is_answered: false, tunnel: (Vec::new(), None), fault }
}

fn note(board: &Board, id: u32, seen: Seen) {
    board.targets.borrow_mut().entry(id).or_default().push(seen);
}

/// Reads one request's content and answers it; `false` when the connection is not to go on.
async fn exchange(
    (stream, whole): (&Stream, &Plan),
    reader: &mut Reader,
    head: &Head,
    request: &Request,
    board: &Board,
) -> bool {
    let plan = &request.response;
    let mut seen = seen(None);
    wait(plan.after).await;
    let is_early = plan.early.is_some();
    if !is_early && !read_content(reader, head, &mut seen).await {
        note(board, request.id, seen);
        return false;
    }
    let upgrades = plan.upgrades && head.field("Upgrade").is_some();
    let goes_on = respond((stream, whole), request, upgrades, &mut seen).await;
    if goes_on && upgrades {
        // The bytes of the granted tunnel begin behind the content.
        if is_early && !read_content(reader, head, &mut seen).await {
            note(board, request.id, seen);
            return false;
        }
        seen.tunnel = echo(stream, reader).await;
        note(board, request.id, seen);
        return false;
    }
    let reads_on = plan.early != Some(false) && plan.then != Then::Drop;
    let goes_on = goes_on && reads_on && (!is_early || read_content(reader, head, &mut seen).await);
    note(board, request.id, seen);
    goes_on && matches!(plan.then, Then::Keep | Then::Surplus) && plan.framing != Framing::Close
}

/// Reads the content; `false` when it did not come whole.
async fn read_content(reader: &mut Reader, head: &Head, seen: &mut Seen) -> bool {
    match reader.content(head, false).await {
        Ok((content, end)) => {
            (seen.content, seen.end) = (content, Some(end));
            end == End::Complete
        }
        Err(fault) => {
            seen.fault = Some(fault);
            false
        }
    }
}

/// Whether a response of this status to this request has content.
pub(super) fn has_content(request: &Request) -> bool {
    request.method != "HEAD" && !matches!(request.response.status, 204 | 304)
}

/// Whether the target sends surplus bytes that are not part of the response's content.
pub(super) fn has_surplus(request: &Request) -> bool {
    let plan = &request.response;
    let is_until_close = has_content(request) && plan.framing == Framing::Close;
    plan.then == Then::Surplus && plan.cut.is_none() && !is_until_close && !request.is_tunnel()
}

/// The bytes of the whole response, and of its head.
pub(super) fn response(request: &Request, upgrades: bool) -> (Vec<u8>, usize) {
    let plan = &request.response;
    let id = request.id;
    let mut message = Vec::new();
    for _ in 0..plan.interims {
        message.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    }
    if upgrades {
        message.extend_from_slice(
            format!("HTTP/1.1 101 Switching\r\nX-Id: {id}\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n").as_bytes(),
        );
        let length = message.len();
        message.extend_from_slice(&message::content(id, true, request.tunnel.greets));
        return (message, length);
    }
    message.extend_from_slice(
        format!("HTTP/1.1 {} As Planned\r\nX-Id: {id}\r\n", plan.status).as_bytes(),
    );
    let length = plan.length;
    match plan.framing {
        _ if plan.status == 204 => {}
        Framing::Length => {
            message.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        }
        Framing::Chunked => message.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Close => {}
    }
    if plan.then == Then::Close || plan.framing == Framing::Close {
        message.extend_from_slice(b"Connection: close\r\n");
    }
    message.extend_from_slice(b"\r\n");
    let head_bytes = message.len();
    if has_content(request) {
        message::put_content(&mut message, &message::content(id, true, length), plan.framing);
    }
    (message, head_bytes)
}

/// Sends the response in its pieces; `false` when the connection has ended or was cut.
async fn respond(
    (stream, whole): (&Stream, &Plan),
    request: &Request,
    upgrades: bool,
    seen: &mut Seen,
) -> bool {
    let plan = &request.response;
    let (message, _) = response(request, upgrades);
    let cut = plan.cut.filter(|(after, _)| *after < message.len());
    let until = cut.map_or(message.len(), |(after, _)| after);
    let mut pieces = message[..until].chunks(plan.piece).peekable();
    while let Some(piece) = pieces.next() {
        let mut piece = piece.to_vec();
        if pieces.peek().is_none() && has_surplus(request) {
            piece.extend_from_slice(SURPLUS);
        }
        let length = piece.len();
        if !matches!(stream.send(piece, 0, true).await, (Ok(count), _) if count == length) {
            return false;
        }
        if !plan.pause.is_zero() {
            wait(plan.pause).await;
        }
    }
    let is_rude = whole.records.is_target_rude();
    match cut {
        None => {
            seen.is_answered = true;
            return true;
        }
        // A rude target closes without the record of the end.
        Some((_, Cut::HalfClose)) if is_rude => stream.socket().shutdown(Shutdown::Write),
        Some((_, Cut::HalfClose)) => stream.end_sending(),
        Some((_, Cut::Close)) if is_rude => stream.socket().shutdown(Shutdown::Both),
        Some((_, Cut::Close)) => stream.end(),
        Some((_, Cut::Reset)) => stream.abort(),
        Some((_, Cut::Stall)) => {
            simulated::stalls(stream.socket());
            // Waits until limpet gives up.
            let mut nothing = Reader::new(stream.clone(), Duration::ZERO);
            while nothing.more().await {}
        }
    }
    false
}

/// Sends back the bytes that come in a tunnel, until it ends. Returns them, and how it ended if that was seen.
async fn echo(stream: &Stream, reader: &mut Reader) -> (Vec<u8>, Option<End>) {
    let mut all = Vec::new();
    loop {
        let bytes = reader.take(reader.unread().len());
        if !bytes.is_empty() {
            all.extend_from_slice(&bytes);
            let count = bytes.len();
            if !matches!(stream.send(bytes, 0, true).await, (Ok(sent), _) if sent == count) {
                return (all, None);
            }
        }
        if !reader.more().await {
            return (all, reader.ended);
        }
    }
}
