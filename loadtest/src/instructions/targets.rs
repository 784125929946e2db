//! The targets of a counted limpet: they answer what they are told to, and only once its shard sleeps.
//!
//! Owns: their listeners and threads, which end with the process. Never: a byte while the shard is at work, once there
//! is a pace. Tested here without a limpet.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;

use super::pace::Pace;
use crate::compare::Failure;
use crate::compare::render::Target;

/// Most bytes that are sent at a time: so many arrive as one event.
pub const PIECE_BYTES: usize = 32 * 1024;

/// Most field lines of a request.
const FIELD_COUNT_MAX: usize = 64;

/// What all targets are told.
#[derive(Debug, Default)]
struct Told {
    /// What follows the first line and `X-Target`: fields, an empty line, content.
    answer: Vec<u8>,
    pace: Option<Pace>,
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
        let told = Arc::new(RwLock::new(Told { answer: EMPTY.to_vec(), pace: None }));
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

    /// From now on they answer with these bytes, whose first line is a status and the end of its line.
    pub fn answer_with(&self, answer: Vec<u8>) {
        self.told.write().unwrap_or_else(PoisonError::into_inner).answer = answer;
    }
}

/// What is answered when nothing else is asked for.
const EMPTY: &[u8] = b"200 OK\r\nContent-Length: 0\r\n\r\n";

fn serve(mut stream: TcpStream, id: &str, told: &RwLock<Told>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut waiting = Vec::new();
    while take_request(&mut stream, &mut waiting)? {
        let (answer, pace) = {
            let told = told.read().unwrap_or_else(PoisonError::into_inner);
            (answer(id, &told.answer), told.pace.clone())
        };
        for piece in answer.chunks(PIECE_BYTES) {
            if let Some(pace) = &pace {
                pace.settle().map_err(io::Error::other)?;
            }
            stream.write_all(piece)?;
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
    use super::*;
    use crate::compare::client::Client;

    #[test]
    fn requests_are_read_with_their_content_and_answered_as_told() {
        let targets = Targets::start(2).unwrap();
        let address = targets.list()[1].address.parse().unwrap();
        let mut client = Client::connect(address).unwrap();
        let request = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        let first = client.ask(request).unwrap();
        assert_eq!((first.status, first.target.as_deref()), (200, Some("t1")));
        targets.answer_with(b"503 Not now\r\nContent-Length: 2\r\n\r\nno".to_vec());
        let second = client.ask(request).unwrap();
        assert_eq!((second.status, second.content_bytes), (503, 2));
        assert_eq!(second.target.as_deref(), Some("t1"));
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
