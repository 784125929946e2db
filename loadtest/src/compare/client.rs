//! One connection that asks one thing at a time, for what is not load: readiness, idle clients, counting
//! instructions.
//!
//! Owns: a request out, a response in, wholly read, over TLS where the door is of that kind. Never: speed, or a
//! judgement. Tested here against a listener of the test's own, and over TLS by `tests/compare.rs`.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::tls::speech::{self, Speech};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most field lines of a response.
const FIELD_COUNT_MAX: usize = 64;

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// `X-Target`, which the responder sends.
    pub target: Option<String>,
    /// Cookies to send from now on, as `name=value`.
    pub cookies: Vec<String>,
    /// The session id to send from now on, of `Mcp-Session-Id`.
    pub session: Option<String>,
    /// Bytes of content.
    pub content_bytes: u64,
}

/// Where a server is found, and how clients speak there.
#[derive(Debug, Clone)]
pub struct Door {
    address: SocketAddr,
    secure: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Door {
    /// One without TLS.
    pub fn plain(address: SocketAddr) -> Door {
        Door { address, secure: None }
    }

    /// One with TLS.
    ///
    /// # Errors
    /// When TLS cannot be spoken so.
    pub fn secure(address: SocketAddr, speech: &Speech) -> Result<Door, speech::Error> {
        let secure = Some((speech.configuration()?, speech.name.clone()));
        Ok(Door { address, secure })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects, and makes the handshake if there is one.
    ///
    /// # Errors
    /// When nobody listens, or does not speak as expected, or not in time.
    pub fn enter(&self) -> io::Result<Client> {
        self.enter_at(|| Ok(()))
    }

    /// As [`enter`](Door::enter); `pause` is called before anything of a handshake is sent.
    ///
    /// # Errors
    /// As there, and as `pause` says.
    pub fn enter_at(&self, pause: impl FnMut() -> io::Result<()>) -> io::Result<Client> {
        let mut client = Client::connect(self.address)?;
        client.greet(self, pause)?;
        Ok(client)
    }
}

/// A kept connection.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    waiting: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Secure(stream) => &stream.sock,
        }
    }
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens, or not in time.
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream: Stream::Plain(stream), waiting: Vec::new() })
    }

    /// Makes the handshake that a door asks for, if it does.
    ///
    /// # Errors
    /// When the server does not speak as expected.
    fn greet(&mut self, door: &Door, mut pause: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let (Some((config, name)), Stream::Plain(socket)) = (&door.secure, &self.stream) else {
            return Ok(());
        };
        let session = ClientConnection::new(Arc::clone(config), name.clone());
        let mut stream = StreamOwned::new(session.map_err(io::Error::other)?, socket.try_clone()?);
        let StreamOwned { conn, sock } = &mut stream;
        while conn.is_handshaking() || conn.wants_write() {
            if conn.wants_write() {
                pause()?;
                while conn.wants_write() {
                    conn.write_tls(sock)?;
                }
            } else if conn.read_tls(sock)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            } else {
                conn.process_new_packets().map_err(io::Error::other)?;
            }
        }
        self.stream = Stream::Secure(Box::new(stream));
        Ok(())
    }

    /// Sends a request and reads its response to the end.
    ///
    /// # Errors
    /// When the connection ends or the response is none.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.tell(request)?;
        self.answer(request.starts_with(b"HEAD "))
    }

    /// Sends a request, or a piece of one.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn tell(&mut self, piece: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(piece),
            Stream::Secure(stream) => stream.write_all(piece).and_then(|()| stream.flush()),
        }
    }

    /// Reads a response to its end; one to HEAD has no content.
    ///
    /// # Errors
    /// When the connection ends or the response is none.
    pub fn answer(&mut self, head_only: bool) -> io::Result<Answer> {
        loop {
            if let Some((mut answer, framing, head_bytes)) = read_head(&self.waiting)? {
                self.waiting.drain(..head_bytes);
                if answer.status >= 200 {
                    let none = head_only || answer.status == 204 || answer.status == 304;
                    answer.content_bytes = if none { 0 } else { self.content(framing)? };
                    return Ok(answer);
                }
            } else {
                self.more()?;
            }
        }
    }

    /// What has come and was not read as a response, or what comes next; for who speaks another version than HTTP/1.1.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn take(&mut self) -> io::Result<Vec<u8>> {
        if self.waiting.is_empty() {
            self.more()?;
        }
        Ok(std::mem::take(&mut self.waiting))
    }

    /// Whether the handshake, if there was one, resumed a session.
    pub fn is_resumed(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            Stream::Secure(stream) => stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Whether TLS is spoken.
    pub fn is_secure(&self) -> bool {
        matches!(self.stream, Stream::Secure(_))
    }

    /// Whether the other side has left it open, and said nothing.
    pub fn is_open(&mut self) -> bool {
        self.look().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the other side has ended it, whatever else it has said.
    pub fn has_ended(&mut self) -> bool {
        match self.look() {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Whether there is something to read.
    fn look(&mut self) -> io::Result<usize> {
        let socket = self.stream.socket();
        let looked = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut [0]));
        socket.set_nonblocking(false)?;
        looked
    }

    fn content(&mut self, framing: Framing) -> io::Result<u64> {
        match framing {
            Framing::Length(length) => self.skip(length),
            Framing::Chunked => {
                let mut sum = 0;
                loop {
                    let line = self.line()?;
                    let size = line.split(';').next().unwrap_or("").trim().to_owned();
                    let size = u64::from_str_radix(&size, 16).map_err(|_| wrong("chunk size"))?;
                    sum += self.skip(size)?;
                    // The line's end behind a chunk, or the empty line of an absent trailer section.
                    self.line()?;
                    if size == 0 {
                        return Ok(sum);
                    }
                }
            }
        }
    }

    fn skip(&mut self, length: u64) -> io::Result<u64> {
        let mut left = length;
        loop {
            let have = self.waiting.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.waiting.drain(..have);
            left -= have as u64;
            if left == 0 {
                return Ok(length);
            }
            self.more()?;
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.waiting.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.waiting.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(|_| wrong("line"));
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 64 * 1024];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer),
            Stream::Secure(stream) => stream.read(&mut buffer),
        };
        match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.waiting.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a response: {what}"))
}

/// Reads a response's head, when all of it is there.
fn read_head(bytes: &[u8]) -> io::Result<Option<(Answer, Framing, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_COUNT_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let size = match response.parse(bytes).map_err(|error| wrong(&error.to_string()))? {
        httparse::Status::Complete(size) => size,
        httparse::Status::Partial => return Ok(None),
    };
    let mut answer = Answer { status: response.code.unwrap_or(0), ..Answer::default() };
    let mut framing = Framing::Length(0);
    for field in &*response.headers {
        let value = String::from_utf8_lossy(field.value).trim().to_owned();
        match field.name.to_ascii_lowercase().as_str() {
            "content-length" => {
                framing = Framing::Length(value.parse().map_err(|_| wrong("Content-Length"))?);
            }
            "transfer-encoding" => framing = Framing::Chunked,
            "x-target" => answer.target = Some(value),
            "mcp-session-id" => answer.session = Some(value),
            "set-cookie" => {
                answer.cookies.extend(value.split(';').next().map(str::to_owned));
            }
            _ => {}
        }
    }
    Ok(Some((answer, framing, size)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn answered(response: &'static [u8]) -> io::Result<(Answer, Answer)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for _ in 0..2 {
                let mut request = [0; 5];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(response).unwrap();
            }
        });
        let mut client = Client::connect(address)?;
        let both = (client.ask(b"GET /")?, client.ask(b"GET /")?);
        server.join().unwrap();
        Ok(both)
    }

    #[test]
    fn responses_are_read_to_their_end_so_that_the_next_is_found() {
        let (first, second) = answered(
            b"HTTP/1.1 200 OK\r\nX-Target: a\r\nSet-Cookie: k=v; Path=/\r\nContent-Length: 3\r\n\r\nabc",
        )
        .unwrap();
        assert_eq!(first, second);
        assert_eq!((first.status, first.content_bytes), (200, 3));
        assert_eq!(first.target.as_deref(), Some("a"));
        assert_eq!(first.cookies, ["k=v"]);
    }

    #[test]
    fn chunks_are_read_and_interim_responses_passed_over() {
        let (_, second) = answered(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        )
        .unwrap();
        assert_eq!((second.status, second.content_bytes), (200, 2));
    }
}
