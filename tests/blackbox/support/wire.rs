//! One end of a connection, of a client or of a target: raw bytes out, exactly framed messages in.
//!
//! Reading is strict: what a lenient reader would forgive is an error here. Every read has the
//! test deadline, so a test that waits for what never comes fails instead of hanging.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::message::{FieldLines, Framing, Request, Response, latin1, split_head};
use super::tls::Tls;

/// How long anything may take before a test gives it up.
pub const DEADLINE: Duration = Duration::from_secs(10);

const HEAD_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Arc<Tls>),
}

/// A connection with what has been read from it and not yet used.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    buffered: Vec<u8>,
    /// Every byte ever read, for those who must prove that none came.
    seen: Option<Arc<Mutex<Vec<u8>>>>,
}

/// The content of a message with all that its framing said.
struct Content {
    framing: Framing,
    bytes: Vec<u8>,
    size_lines: Vec<String>,
    trailers: FieldLines,
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn ended(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, why.to_owned())
}

impl Wire {
    pub fn tcp(stream: TcpStream) -> io::Result<Wire> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Wire { stream: Stream::Tcp(stream), buffered: Vec::new(), seen: None })
    }

    pub fn unix(stream: UnixStream) -> io::Result<Wire> {
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Wire { stream: Stream::Unix(stream), buffered: Vec::new(), seen: None })
    }

    pub fn connect(address: SocketAddr) -> io::Result<Wire> {
        Wire::tcp(TcpStream::connect_timeout(&address, DEADLINE)?)
    }

    /// A connection to a listener that speaks TLS, after its handshake.
    pub fn connect_tls(
        address: SocketAddr,
        config: Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Wire> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let tls = Tls::connect(stream, config, name)?;
        Ok(Wire { stream: Stream::Tls(Arc::new(tls)), buffered: Vec::new(), seen: None })
    }

    /// What the handshake has agreed upon; `None` in clear.
    pub fn tls(&self) -> Option<&Tls> {
        match &self.stream {
            Stream::Tls(tls) => Some(tls),
            Stream::Tcp(_) | Stream::Unix(_) => None,
        }
    }

    /// The socket; of a Unix socket none.
    fn tcp_socket(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Tcp(stream) => Some(stream),
            Stream::Tls(tls) => Some(tls.socket()),
            Stream::Unix(_) => None,
        }
    }

    /// A second handle to the same connection, for sending and reading at the same time. What is
    /// buffered stays with the first handle.
    pub fn writer(&self) -> io::Result<Wire> {
        let stream = match &self.stream {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
            Stream::Tls(tls) => Stream::Tls(Arc::clone(tls)),
        };
        Ok(Wire { stream, buffered: Vec::new(), seen: None })
    }

    pub fn record_into(&mut self, seen: Arc<Mutex<Vec<u8>>>) {
        self.seen = Some(seen);
    }

    pub fn local_port(&self) -> u16 {
        let address = self.tcp_socket().and_then(|socket| socket.local_addr().ok());
        address.map_or(0, |address| address.port())
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Tls(tls) => tls.send(bytes),
        }
    }

    /// Sends until nothing more is taken for a moment; gives how much was.
    pub fn send_until_full(&mut self) -> io::Result<usize> {
        let socket = self.tcp_socket().ok_or(io::ErrorKind::Unsupported)?.try_clone()?;
        socket.set_write_timeout(Some(Duration::from_millis(300)))?;
        let mut sent = 0;
        let ended = loop {
            let written = match &mut self.stream {
                Stream::Tcp(stream) => stream.write(&[b'x'; 64 << 10]),
                Stream::Tls(tls) => tls.send(&[b'x'; 64 << 10]).map(|()| 64 << 10),
                Stream::Unix(stream) => stream.write(&[b'x'; 64 << 10]),
            };
            match written {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(sent),
                Err(error) => break Err(error),
            }
        };
        socket.set_write_timeout(Some(DEADLINE))?;
        ended
    }

    /// Sends in pieces that end at `splits`, each with a write of its own.
    pub fn send_split(&mut self, bytes: &[u8], splits: &[usize]) -> io::Result<()> {
        let mut from = 0;
        for &to in splits.iter().chain(std::iter::once(&bytes.len())) {
            self.send(&bytes[from..to])?;
            from = to;
        }
        Ok(())
    }

    pub fn send_byte_by_byte(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(1).try_for_each(|byte| self.send(byte))
    }

    /// Ends the sending direction; the other one stays open.
    pub fn finish(&self) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(tls) => tls.finish(),
        }
    }

    /// Ends both directions, whoever else holds the connection.
    pub fn cut(&self) {
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
            Stream::Tls(tls) => tls.socket().shutdown(Shutdown::Both),
        };
    }

    /// Closes with a reset (linger 0), not with an orderly end.
    pub fn reset(self) -> io::Result<()> {
        socket2::SockRef::from(&self.as_fd()).set_linger(Some(Duration::ZERO))
    }

    /// Another deadline of each read than the tests'.
    pub fn set_patience(&self, deadline: Duration) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(deadline)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(deadline)),
            Stream::Tls(tls) => tls.socket().set_read_timeout(Some(deadline)),
        }
    }

    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        socket2::SockRef::from(&self.as_fd()).set_recv_buffer_size(bytes)
    }

    pub fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        socket2::SockRef::from(&self.as_fd()).set_send_buffer_size(bytes)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tls(tls) => tls.socket().as_fd(),
        }
    }

    /// Reads once into the buffer; 0 is the end.
    fn fill(&mut self) -> io::Result<usize> {
        let mut room = [0_u8; 64 * 1024];
        let count = loop {
            let result = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(&mut room),
                Stream::Unix(stream) => stream.read(&mut room),
                Stream::Tls(tls) => tls.receive(&mut room),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let so_far = latin1(&self.buffered[..self.buffered.len().min(500)]);
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("nothing came within the test's deadline; so far {so_far:?}"),
                    ));
                }
                other => break other?,
            }
        };
        self.buffered.extend_from_slice(&room[..count]);
        if let Some(seen) = &self.seen {
            seen.lock().unwrap().extend_from_slice(&room[..count]);
        }
        Ok(count)
    }

    /// Some bytes, as they come; empty at the end.
    pub fn read_some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffered.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.buffered))
    }

    pub fn read_exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffered.len() < count {
            if self.fill()? == 0 {
                return Err(ended("the connection ended inside the content"));
            }
        }
        let rest = self.buffered.split_off(count);
        Ok(std::mem::replace(&mut self.buffered, rest))
    }

    /// Reads so many bytes so slowly that a full send buffer takes seconds to become writeable again, later faster.
    /// `false`: the machine held the reader up, and the peer has rightly given it up.
    pub fn read_slowly(&mut self, bytes: usize) -> bool {
        const SLOW_BYTES: usize = 2 << 20;
        let (mut count, mut taken, mut longest) = (0, Instant::now(), Duration::ZERO);
        while count < bytes {
            let most = if count < SLOW_BYTES { 64 << 10 } else { 1 << 20 };
            let piece = self.read_exactly(most.min(bytes - count));
            longest = longest.max(taken.elapsed());
            taken = Instant::now();
            let Ok(piece) = piece else {
                assert!(longest > Duration::from_millis(700), "given up after {longest:?}");
                return false;
            };
            count += piece.len();
            if count <= SLOW_BYTES {
                super::pause(Duration::from_millis(150));
            }
        }
        true
    }

    /// Everything up to an orderly end; a reset is an error.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffered))
    }

    /// Everything up to the end, orderly or not.
    pub fn read_until_closed(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if closed_kind(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(std::mem::take(&mut self.buffered))
    }

    pub fn read_line(&mut self) -> io::Result<String> {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.buffered[searched..], b"\n") {
                let line = self.read_exactly(searched + at + 1)?;
                let line = line.strip_suffix(b"\r\n").ok_or_else(|| invalid("bare LF"))?;
                return Ok(latin1(line));
            }
            searched = self.buffered.len();
            if self.fill()? == 0 {
                return Err(ended("the connection ended inside a line"));
            }
        }
    }

    /// A whole head, its empty line included; `None` when the connection ends before its first byte.
    pub fn read_head(&mut self) -> io::Result<Option<String>> {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.buffered[searched..], b"\r\n\r\n") {
                let head = self.read_exactly(searched + at + 4)?;
                return Ok(Some(latin1(&head)));
            }
            searched = self.buffered.len().saturating_sub(3);
            if self.buffered.len() > HEAD_BYTES_MAX {
                return Err(invalid("an endless head"));
            }
            if self.fill()? == 0 {
                return if self.buffered.is_empty() {
                    Ok(None)
                } else {
                    let so_far = latin1(&self.buffered);
                    Err(ended(&format!("the connection ended inside the head {so_far:?}")))
                };
            }
        }
    }

    /// The head of a request, without its content.
    pub fn read_request_head(&mut self) -> io::Result<Option<Request>> {
        let Some(head) = self.read_head()? else { return Ok(None) };
        let (start, fields) = split_head(&head).map_err(invalid)?;
        let words: Vec<&str> = start.split(' ').collect();
        let [method, target, version] = words[..] else {
            return Err(invalid(format!("bad request line {start:?}")));
        };
        let request = Request {
            method: method.to_owned(),
            target: target.to_owned(),
            version: version.to_owned(),
            framing: declared_framing(&fields, Framing::None)?,
            fields,
            head,
            content: Vec::new(),
            size_lines: Vec::new(),
            trailers: FieldLines::default(),
        };
        Ok(Some(request))
    }

    /// A whole request; `None` when the connection ends before its first byte.
    pub fn read_request(&mut self) -> io::Result<Option<Request>> {
        let Some(mut request) = self.read_request_head()? else { return Ok(None) };
        self.read_request_content(&mut request)?;
        Ok(Some(request))
    }

    /// The content of a request whose head has been read.
    pub fn read_request_content(&mut self, request: &mut Request) -> io::Result<()> {
        let content = self.read_content(request.framing, &request.fields)?;
        request.content = content.bytes;
        request.size_lines = content.size_lines;
        request.trailers = content.trailers;
        Ok(())
    }

    /// The head of a response, without its content; 1xx responses are returned like any other.
    pub fn read_response_head(&mut self, method: &str) -> io::Result<Response> {
        let head = self.read_head()?.ok_or_else(|| ended("closed instead of a response"))?;
        let (start, fields) = split_head(&head).map_err(invalid)?;
        let mut words = start.splitn(3, ' ');
        let version = words.next().unwrap_or_default().to_owned();
        let status = words.next().unwrap_or_default();
        let bad = || invalid(format!("bad status line {start:?}"));
        if !matches!(version.as_str(), "HTTP/1.1" | "HTTP/1.0") || status.len() != 3 {
            return Err(bad());
        }
        let status: u16 = status.parse().map_err(|_| bad())?;
        let reason = words.next().ok_or_else(bad)?.to_owned();
        let without = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        let framing =
            if without { Framing::None } else { declared_framing(&fields, Framing::Close)? };
        Ok(Response {
            head,
            version,
            status,
            reason,
            fields,
            framing,
            content: Vec::new(),
            size_lines: Vec::new(),
            trailers: FieldLines::default(),
        })
    }

    pub fn read_response_content(&mut self, response: &mut Response) -> io::Result<()> {
        let content = self.read_content(response.framing, &response.fields)?;
        response.content = content.bytes;
        response.size_lines = content.size_lines;
        response.trailers = content.trailers;
        Ok(())
    }

    /// A whole response to a request with `method`.
    pub fn read_response(&mut self, method: &str) -> io::Result<Response> {
        let mut response = self.read_response_head(method)?;
        self.read_response_content(&mut response)?;
        Ok(response)
    }

    /// One chunk: its size line and its bytes (empty for the last one, whose trailers follow).
    pub fn read_chunk(&mut self) -> io::Result<(String, Vec<u8>)> {
        let line = self.read_line()?;
        let size = usize::from_str_radix(&line, 16)
            .map_err(|_| invalid(format!("bad chunk-size line {line:?}")))?;
        if size == 0 {
            return Ok((line, Vec::new()));
        }
        let mut bytes = self.read_exactly(size + 2)?;
        if bytes.split_off(size) != b"\r\n" {
            return Err(invalid("a chunk does not end in CRLF"));
        }
        Ok((line, bytes))
    }

    fn read_content(&mut self, framing: Framing, fields: &FieldLines) -> io::Result<Content> {
        let mut content = Content {
            framing,
            bytes: Vec::new(),
            size_lines: Vec::new(),
            trailers: FieldLines::default(),
        };
        match content.framing {
            Framing::None => {}
            Framing::Close => content.bytes = self.read_to_end()?,
            Framing::Length => {
                let length = fields.all("content-length")[0];
                let length = length.parse().map_err(|_| invalid("bad Content-Length"))?;
                content.bytes = self.read_exactly(length)?;
            }
            Framing::Chunked => loop {
                let (line, bytes) = self.read_chunk()?;
                content.size_lines.push(line);
                content.bytes.extend_from_slice(&bytes);
                if bytes.is_empty() {
                    content.trailers = self.read_trailers()?;
                    break;
                }
            },
        }
        Ok(content)
    }

    pub fn read_trailers(&mut self) -> io::Result<FieldLines> {
        let mut text = String::from("trailers\r\n");
        loop {
            let line = self.read_line()?;
            text.push_str(&line);
            text.push_str("\r\n");
            if line.is_empty() {
                return split_head(&text).map(|(_, fields)| fields).map_err(invalid);
            }
        }
    }
}

/// What the fields say; a message that could be read in two ways is an error.
fn declared_framing(fields: &FieldLines, otherwise: Framing) -> io::Result<Framing> {
    let lengths = fields.all("content-length");
    let codings = fields.all("transfer-encoding");
    match (lengths.len(), codings.len()) {
        (0, 0) => Ok(otherwise),
        (1, 0) => Ok(Framing::Length),
        (0, 1) if codings[0].eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        _ => Err(invalid(format!("ambiguous framing: {lengths:?} {codings:?}"))),
    }
}

/// Whether the error is that the peer closed the connection in whatever way.
pub fn closed_kind(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
