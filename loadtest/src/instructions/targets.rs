//! The targets of a counted limpet: they answer what they are told to, and only once its shard sleeps.
//!
//! Owns: their listeners and threads, which end with the process. Never: a byte while the shard is at work, once there
//! is a pace. Tested here without a limpet.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread;

use super::pace::Pace;
use crate::compare::Failure;
use crate::compare::render::Target;
use crate::http2::content::Outlet;
use crate::http2::encoder::Keep;
use crate::http2::frame::{self, PREFACE};
use crate::http2::wire::{Event, Terms, Wire};

/// Most bytes that are sent at a time: so many arrive as one event.
pub const PIECE_BYTES: usize = 32 * 1024;

/// Most field lines of a request.
const FIELD_COUNT_MAX: usize = 64;

/// How much of a preface tells it from every method.
const TELLING_BYTES: usize = 4;

/// What all targets are told.
#[derive(Debug, Default)]
struct Told {
    /// What follows the first line and `X-Target`: fields, an empty line, content.
    answer: Vec<u8>,
    pace: Option<Pace>,
    /// So many requests are answered at once, when all of them have come.
    together: usize,
    waiting: Mutex<Waiting>,
}

/// Answers that wait for the others.
#[derive(Debug, Default)]
struct Waiting {
    answers: usize,
    /// Where they go, and all that goes there.
    bytes: Vec<(SocketAddr, TcpStream, Vec<u8>)>,
}

/// Some targets.
#[derive(Debug)]
pub struct Targets {
    list: Vec<Target>,
    told: Arc<RwLock<Told>>,
}

impl Targets {
    /// Starts so many, which answer with nothing in them until they are told otherwise.
    ///
    /// # Errors
    /// When a listener cannot be had.
    pub fn start(count: usize) -> Result<Targets, Failure> {
        let told = Told { answer: EMPTY.to_vec(), together: 1, ..Told::default() };
        let told = Arc::new(RwLock::new(told));
        let mut list = Vec::new();
        for index in 0..count {
            let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
            let failed = |error| Failure::File { path: PathBuf::from(any.to_string()), error };
            let listener = TcpListener::bind(any).map_err(failed)?;
            let SocketAddr::V4(address) = listener.local_addr().map_err(failed)? else { continue };
            let target = Target::new(index, address);
            let (told, id) = (Arc::clone(&told), target.id.clone());
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let (told, id) = (Arc::clone(&told), id.clone());
                    // A connection that limpet ends, at the latest with itself, ends its thread.
                    thread::spawn(move || serve(stream, &id, &told));
                }
            });
            list.push(target);
        }
        Ok(Targets { list, told })
    }

    /// All of them, as limpet is told.
    pub fn list(&self) -> &[Target] {
        &self.list
    }

    /// From now on they wait for the shard's sleep.
    pub fn keep_pace(&self, pace: Pace) {
        self.told.write().unwrap_or_else(PoisonError::into_inner).pace = Some(pace);
    }

    /// From now on they answer with these bytes, whose first line is a status and the end of its line; so many requests
    /// at once.
    pub fn answer_with(&self, answer: Vec<u8>, together: usize) {
        let mut told = self.told.write().unwrap_or_else(PoisonError::into_inner);
        (told.answer, told.together) = (answer, together);
    }
}

/// What is answered when nothing else is asked for.
const EMPTY: &[u8] = b"200 OK\r\nContent-Length: 0\r\n\r\n";

fn serve(mut stream: TcpStream, id: &str, told: &RwLock<Told>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0; TELLING_BYTES];
    while stream.peek(&mut first)? < TELLING_BYTES {
        if stream.peek(&mut first)? == 0 {
            return Ok(());
        }
    }
    if PREFACE.starts_with(&first) {
        return serve_streams(&stream, id, told);
    }
    let mut waiting = Vec::new();
    while take_request(&mut stream, &mut waiting)? {
        let answer = answer(id, &read(told).answer);
        give(&stream, answer, told)?;
    }
    Ok(())
}

/// Answers over HTTP/2.
fn serve_streams(mut stream: &TcpStream, id: &str, told: &RwLock<Told>) -> io::Result<()> {
    let (mut wire, mut out) = (Wire::new(Terms::SERVER), Vec::new());
    wire.begin(&mut out);
    read(told).settle()?;
    stream.write_all(&out)?;
    out.clear();
    let mut buffer = vec![0; 2 * PIECE_BYTES];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut input = &buffer[..count];
        while let Some(event) = wire.next(&mut input, &mut out).map_err(io::Error::other)? {
            let asked = match event {
                Event::Head { stream, ends: true } => stream,
                Event::Data { stream, ends: true, .. } => stream,
                _ => continue,
            };
            // What is owed goes with it.
            write_answer(asked, id, &read(told).answer, &mut wire, &mut out)?;
            give(stream, std::mem::take(&mut out), told)?;
        }
    }
}

/// Writes what is told in lines as an answer over HTTP/2.
fn write_answer(
    stream: u32,
    id: &str,
    told: &[u8],
    wire: &mut Wire,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let bytes = answer(id, told);
    let mut fields = [httparse::EMPTY_HEADER; FIELD_COUNT_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(&bytes).map_err(io::Error::other)?;
    let httparse::Status::Complete(head_bytes) = parsed else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut block = Vec::new();
    wire.encoder.begin(&mut block);
    let status = response.code.unwrap_or_default().to_string();
    wire.encoder.field(b":status", status.as_bytes(), Keep::Yes, &mut block);
    for field in &*response.headers {
        let name = field.name.to_ascii_lowercase();
        wire.encoder.field(name.as_bytes(), field.value, Keep::Yes, &mut block);
    }
    let content = &bytes[head_bytes..];
    frame::write_head(stream, content.is_empty(), &block, out);
    let mut outlet = Outlet { stream, window: wire.stream_window };
    match wire.allowance.write(&mut outlet, content, true, out) == content.len() {
        true => Ok(()),
        false => Err(io::Error::other("an answer larger than the windows, which no kind has")),
    }
}

fn read(told: &RwLock<Told>) -> RwLockReadGuard<'_, Told> {
    told.read().unwrap_or_else(PoisonError::into_inner)
}

impl Told {
    fn settle(&self) -> io::Result<()> {
        self.pace.as_ref().map_or(Ok(()), |pace| pace.settle().map_err(io::Error::other))
    }
}

/// Sends an answer when the shard sleeps, or, where others are to go with it, when the last of them is there.
fn give(stream: &TcpStream, answer: Vec<u8>, told: &RwLock<Told>) -> io::Result<()> {
    let told = read(told);
    if told.together == 1 {
        let mut stream = stream;
        for piece in answer.chunks(PIECE_BYTES) {
            told.settle()?;
            stream.write_all(piece)?;
        }
        return Ok(());
    }
    let mut waiting = told.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.answers += 1;
    let peer = stream.peer_addr()?;
    match waiting.bytes.iter_mut().find(|one| one.0 == peer) {
        Some((.., bytes)) => bytes.extend_from_slice(&answer),
        None => waiting.bytes.push((peer, stream.try_clone()?, answer)),
    }
    if waiting.answers == told.together {
        told.settle()?;
        waiting.answers = 0;
        for (_, mut stream, bytes) in waiting.bytes.drain(..) {
            stream.write_all(&bytes)?;
        }
    }
    Ok(())
}

/// A whole response, which names the target behind its first line.
fn answer(id: &str, told: &[u8]) -> Vec<u8> {
    let first = told.windows(2).position(|pair| pair == b"\r\n").map_or(told.len(), |end| end + 2);
    let named = format!("X-Target: {id}\r\n");
    [b"HTTP/1.1 ", &told[..first], named.as_bytes(), &told[first..]].concat()
}

/// Takes one request with its content off a connection; `false` when no more comes.
fn take_request(stream: &mut TcpStream, waiting: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = vec![0; 2 * PIECE_BYTES];
    loop {
        if let Some(size) = request_size(waiting)?
            && waiting.len() >= size
        {
            waiting.drain(..size);
            return Ok(true);
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(false),
            count => waiting.extend_from_slice(&buffer[..count]),
        }
    }
}

/// How long the request is that `bytes` begin with, once its head is whole.
fn request_size(bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_COUNT_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let head = match request.parse(bytes).map_err(|error| wrong(&error.to_string()))? {
        httparse::Status::Complete(head) => head,
        httparse::Status::Partial => return Ok(None),
    };
    let mut content = 0;
    for field in &*request.headers {
        if field.name.eq_ignore_ascii_case("content-length") {
            let value = std::str::from_utf8(field.value).unwrap_or_default().trim();
            content = value.parse::<usize>().map_err(|_| wrong("Content-Length"))?;
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(wrong("chunked content, which no kind sends"));
        }
    }
    Ok(Some(head + content))
}

#[cfg(test)]
mod tests {
    use super::super::kinds::KINDS;
    use super::*;
    use crate::compare::client::Client;
    use crate::compare::talk::Talk;

    #[test]
    fn requests_are_read_with_their_content_and_answered_as_told() {
        let targets = Targets::start(2).unwrap();
        let address = targets.list()[1].address.parse().unwrap();
        let mut client = Client::connect(address).unwrap();
        let request = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        let first = client.ask(request).unwrap();
        assert_eq!((first.status, first.target.as_deref()), (200, Some("t1")));
        targets.answer_with(b"503 Not now\r\nContent-Length: 2\r\n\r\nno".to_vec(), 1);
        let second = client.ask(request).unwrap();
        assert_eq!((second.status, second.content_bytes), (503, 2));
        assert_eq!(second.target.as_deref(), Some("t1"));
    }

    #[test]
    fn streams_are_answered_together() {
        let targets = Targets::start(1).unwrap();
        let address = targets.list()[0].address.parse().unwrap();
        let mut talk = Talk::begin(Client::connect(address).unwrap()).unwrap();
        let kind = KINDS.into_iter().find(|kind| kind.streams == 32).unwrap();
        targets.answer_with(kind.answer(), 32);
        for _ in 0..3 {
            let answers = talk.ask(&vec![kind.fields("a=b"); 32], || Ok(())).unwrap();
            assert_eq!(answers.len(), 32);
            for answer in answers {
                assert_eq!((answer.status, answer.content_bytes), (200, 64));
                assert_eq!(answer.target.as_deref(), Some("t0"));
            }
        }
    }

    #[test]
    fn a_request_is_as_long_as_it_says() {
        assert_eq!(request_size(b"GET / HTTP/1.1\r\n").unwrap(), None);
        assert_eq!(request_size(b"GET / HTTP/1.1\r\n\r\n").unwrap(), Some(18));
        let post = b"POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n";
        assert_eq!(request_size(post).unwrap(), Some(post.len() + 7));
        assert!(request_size(b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }
}
