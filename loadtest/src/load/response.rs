//! Responses taken apart as cheaply as they can be checked: the end of the head by one search, then only
//! the fields that matter; content is counted, not kept.
//!
//! Owns: where in a response a connection is. Never: tolerance; what is not as RFC 9112 says is
//! garbage. Tested below whole, byte by byte, and cut at every place.

use std::mem;

use memchr::{memchr, memmem};

/// Longest head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What arrived is not a response as RFC 9112 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbage;

/// How the end of the content is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
    UntilEnd,
}

/// A response's head, as far as anyone asks.
#[derive(Debug)]
pub struct Head<'a> {
    pub status: u16,
    /// The connection stays open.
    pub keep: bool,
    pub framing: Framing,
    /// X-Target.
    pub target: Option<&'a [u8]>,
    /// X-Request-Echo.
    pub echo: Option<&'a [u8]>,
    /// There is at least one Set-Cookie.
    pub has_cookies: bool,
    fields: &'a [u8],
}

/// A response that has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// Content without framing, in bytes.
    pub content: u64,
    /// The connection stays open.
    pub keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    Chunk(Chunk),
    UntilEnd,
}

/// Where in chunked content a reader is (RFC 9112 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    /// In the size; the count of digits so far.
    Size(u64, u8),
    Extension(u64),
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    DataEndLine,
    /// At the start of a trailer line, or of the last line.
    Trailer,
    TrailerLine,
    LastLine,
    Done,
}

/// Reads the responses of one connection.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// A head that arrived in pieces.
    carry: Vec<u8>,
    content: u64,
    keep: bool,
}

impl Reader {
    pub fn new() -> Reader {
        Reader { state: State::Head, carry: Vec::new(), content: 0, keep: true }
    }

    /// Forgets what has been read: for a new connection.
    pub fn reset(&mut self) {
        (self.state, self.content, self.keep) = (State::Head, 0, true);
        self.carry.clear();
    }

    /// The head of the current response has been read, its content not to the end.
    pub fn is_in_content(&self) -> bool {
        self.state != State::Head
    }

    /// Takes bytes from `input` until a response is whole or nothing is left. `on_head` sees the head
    /// of each final response; `bodiless` says that it answers HEAD.
    ///
    /// # Errors
    /// When it is no response; the connection is of no use then.
    pub fn read(
        &mut self,
        input: &mut &[u8],
        bodiless: bool,
        mut on_head: impl FnMut(&Head<'_>),
    ) -> Result<Option<Whole>, Garbage> {
        loop {
            let done = match &mut self.state {
                State::Head => match self.head(input, bodiless, &mut on_head)? {
                    true => self.state == State::Length(0),
                    false => return Ok(None),
                },
                State::Length(left) => {
                    let count = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= count as u64;
                    self.content += count as u64;
                    *input = &input[count..];
                    *left == 0
                }
                State::Chunk(chunk) => {
                    self.content += chunk.read(input)?;
                    *chunk == Chunk::Done
                }
                State::UntilEnd => {
                    self.content += input.len() as u64;
                    *input = &[];
                    false
                }
            };
            if done {
                return Ok(Some(self.finish()));
            }
            if input.is_empty() {
                return Ok(None);
            }
        }
    }

    /// The connection has ended: the response that this makes whole, if it does.
    pub fn end(&mut self) -> Option<Whole> {
        (self.state == State::UntilEnd).then(|| self.finish())
    }

    fn finish(&mut self) -> Whole {
        let whole = Whole { content: self.content, keep: self.keep };
        (self.state, self.content) = (State::Head, 0);
        whole
    }

    /// Reads on in a head; `false` when it has not ended yet. Interim responses are passed over.
    fn head(
        &mut self,
        input: &mut &[u8],
        bodiless: bool,
        on_head: &mut impl FnMut(&Head<'_>),
    ) -> Result<bool, Garbage> {
        loop {
            if self.carry.is_empty()
                && let Some(end) = memmem::find(input, b"\r\n\r\n")
            {
                let (head, rest) = input.split_at(end + 4);
                *input = rest;
                if self.begin(&Head::parse(head)?, bodiless, on_head) {
                    return Ok(true);
                }
                continue;
            }
            let known = self.carry.len();
            if known + input.len() > HEAD_BYTES_MAX {
                return Err(Garbage);
            }
            self.carry.extend_from_slice(input);
            let searched = known.saturating_sub(3);
            let Some(end) = memmem::find(&self.carry[searched..], b"\r\n\r\n") else {
                *input = &[];
                return Ok(false);
            };
            let end = searched + end + 4;
            *input = &input[end - known..];
            let mut carry = mem::take(&mut self.carry);
            let begun = self.begin(&Head::parse(&carry[..end])?, bodiless, on_head);
            carry.clear();
            self.carry = carry;
            if begun {
                return Ok(true);
            }
        }
    }

    /// Begins the content of a final response (RFC 9112 §6.3); `false` for an interim one.
    fn begin(
        &mut self,
        head: &Head<'_>,
        bodiless: bool,
        on_head: &mut impl FnMut(&Head<'_>),
    ) -> bool {
        if head.status < 200 {
            return false;
        }
        self.keep = head.keep;
        self.state = match head.framing {
            _ if bodiless || matches!(head.status, 204 | 304) => State::Length(0),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunk(Chunk::Size(0, 0)),
            Framing::UntilEnd => State::UntilEnd,
        };
        if self.state == State::UntilEnd {
            self.keep = false;
        }
        on_head(head);
        true
    }
}

impl Chunk {
    /// Takes bytes until the content ends or nothing is left; returns the count of content bytes.
    fn read(&mut self, input: &mut &[u8]) -> Result<u64, Garbage> {
        let mut content = 0;
        while *self != Chunk::Done {
            if let Chunk::Data(left) = self {
                let count = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                content += count as u64;
                *input = &input[count..];
                if *left == 0 {
                    *self = Chunk::DataEnd;
                }
            }
            let Some((&byte, rest)) = input.split_first() else { break };
            *input = rest;
            *self = self.after(byte)?;
        }
        Ok(content)
    }

    fn after(self, byte: u8) -> Result<Chunk, Garbage> {
        Ok(match (self, byte) {
            (Chunk::Size(size, digits), _) if byte.is_ascii_hexdigit() && digits < 15 => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                Chunk::Size(size << 4 | digit, digits + 1)
            }
            (Chunk::Size(size, 1..) | Chunk::Extension(size), b'\r') => Chunk::SizeEnd(size),
            (Chunk::Size(size, 1..), b';' | b' ' | b'\t') => Chunk::Extension(size),
            (Chunk::Extension(size), 0x20.. | b'\t') => Chunk::Extension(size),
            (Chunk::SizeEnd(0), b'\n') => Chunk::Trailer,
            (Chunk::SizeEnd(size), b'\n') => Chunk::Data(size),
            (Chunk::DataEnd, b'\r') => Chunk::DataEndLine,
            (Chunk::DataEndLine, b'\n') => Chunk::Size(0, 0),
            (Chunk::Trailer, b'\r') => Chunk::LastLine,
            (Chunk::TrailerLine, b'\n') => Chunk::Trailer,
            (Chunk::Trailer | Chunk::TrailerLine, 0x20.. | b'\t' | b'\r') => Chunk::TrailerLine,
            (Chunk::LastLine, b'\n') => Chunk::Done,
            _ => return Err(Garbage),
        })
    }
}

impl<'a> Head<'a> {
    /// Reads a head up to and including its empty line.
    fn parse(bytes: &'a [u8]) -> Result<Head<'a>, Garbage> {
        let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', a, b, c, next, ..] = *bytes
        else {
            return Err(Garbage);
        };
        if ![a, b, c].iter().all(u8::is_ascii_digit) || !matches!(next, b' ' | b'\r') || a == b'0' {
            return Err(Garbage);
        }
        let status = [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        let line = memchr(b'\n', bytes).ok_or(Garbage)?;
        let mut head = Head {
            status,
            keep: minor != b'0',
            framing: Framing::UntilEnd,
            target: None,
            echo: None,
            has_cookies: false,
            fields: &bytes[line + 1..],
        };
        for line in Lines(head.fields) {
            head.note(line)?;
        }
        Ok(head)
    }

    /// Takes note of one field line, if it is one that matters.
    fn note(&mut self, line: &'a [u8]) -> Result<(), Garbage> {
        // Only few first letters matter: most lines cost one comparison.
        match line.first().map(|byte| byte | 0x20) {
            Some(b'c') => {
                if let Some(value) = field(line, b"content-length") {
                    let length = number(value).ok_or(Garbage)?;
                    match self.framing {
                        Framing::UntilEnd => self.framing = Framing::Length(length),
                        Framing::Length(known) if known == length => {}
                        // RFC 9112 §6.2 and §6.3: two lengths that differ, or a length beside chunks.
                        _ => return Err(Garbage),
                    }
                } else if let Some(value) = field(line, b"connection") {
                    if value.eq_ignore_ascii_case(b"close") {
                        self.keep = false;
                    } else if value.eq_ignore_ascii_case(b"keep-alive") {
                        self.keep = true;
                    }
                }
            }
            Some(b't') => {
                if let Some(value) = field(line, b"transfer-encoding") {
                    if !value.eq_ignore_ascii_case(b"chunked") || self.framing != Framing::UntilEnd
                    {
                        return Err(Garbage);
                    }
                    self.framing = Framing::Chunked;
                }
            }
            Some(b'x') => {
                if let Some(value) = field(line, b"x-target") {
                    self.target = Some(value);
                } else if let Some(value) = field(line, b"x-request-echo") {
                    self.echo = Some(value);
                }
            }
            Some(b's') => self.has_cookies |= field(line, b"set-cookie").is_some(),
            _ => {}
        }
        Ok(())
    }

    /// The values of all Set-Cookie lines.
    pub fn cookies(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        Lines(self.fields).filter_map(|line| field(line, b"set-cookie"))
    }
}

/// The lines of a head without their ends, up to the empty one.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\r', self.0)?;
        let line = &self.0[..end];
        self.0 = self.0.get(end + 2..)?;
        (!line.is_empty()).then_some(line)
    }
}

/// The value of a line when it is the field of that name (in small letters).
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    if !found.eq_ignore_ascii_case(name) {
        return None;
    }
    Some(value.strip_prefix(b":")?.trim_ascii())
}

fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader says about one response, in words.
    fn tell(pieces: &[&[u8]], bodiless: bool) -> Result<String, Garbage> {
        let (mut reader, mut told) = (Reader::new(), String::new());
        for mut piece in pieces.iter().copied() {
            while !piece.is_empty() {
                let whole = reader.read(&mut piece, bodiless, |head| {
                    let text = |bytes: Option<&[u8]>| {
                        bytes.map_or("-".to_owned(), |b| String::from_utf8_lossy(b).into_owned())
                    };
                    let cookies: Vec<_> = head.cookies().map(|c| text(Some(c))).collect();
                    assert_eq!(head.has_cookies, !cookies.is_empty());
                    told += &format!(
                        "{} {} {} {cookies:?} ",
                        head.status,
                        text(head.target),
                        text(head.echo)
                    );
                })?;
                if let Some(whole) = whole {
                    told += &format!("{} {};", whole.content, whole.keep);
                }
            }
        }
        if let Some(whole) = reader.end() {
            told += &format!("{} until the end;", whole.content);
        }
        Ok(told)
    }

    /// Tells it whole, then byte by byte, then cut in two at every place: always the same.
    fn all_ways(bytes: &[u8], bodiless: bool) -> Result<String, Garbage> {
        let whole = tell(&[bytes], bodiless);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(tell(&single, bodiless), whole);
        for cut in 0..bytes.len() {
            assert_eq!(tell(&[&bytes[..cut], &bytes[cut..]], bodiless), whole, "cut at {cut}");
        }
        whole
    }

    #[test]
    fn pipelined_responses_of_every_framing() {
        let bytes = b"HTTP/1.1 200 OK\r\nX-Target: a\r\nContent-Length: 5\r\n\r\nhello\
            HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
            HTTP/1.1 503\r\ncontent-length:0\r\nConnection: Close\r\n\r\n\
            HTTP/1.1 204 No Content\r\nset-cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n\r\n\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-request-echo:  7f \r\n\r\n\
            5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n\
            HTTP/1.1 200 OK\r\n\r\nto the end";
        assert_eq!(
            all_ways(bytes, false).unwrap(),
            "200 a - [] 5 true;503 - - [] 0 false;\
             204 - - [\"a=1; Path=/\", \"b=2\"] 0 true;200 - 7f [] 15 true;\
             200 - - [] 10 until the end;"
        );
    }

    #[test]
    fn a_response_to_head_has_no_content_whatever_it_says() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\
            HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(all_ways(bytes, true).unwrap(), "200 - - [] 0 true;200 - - [] 0 true;");
    }

    #[test]
    fn what_is_no_response_is_garbage() {
        for bytes in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1111111111111111\r\n",
        ] {
            assert_eq!(all_ways(bytes.as_bytes(), false), Err(Garbage), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_that_never_ends_is_garbage() {
        let line = [b'a'; 1000];
        let pieces: Vec<&[u8]> = (0..70).map(|_| &line[..]).collect();
        assert_eq!(tell(&pieces, false), Err(Garbage));
    }

    #[test]
    fn a_response_cut_short_is_known_to_be_in_its_content() {
        let mut reader = Reader::new();
        let mut bytes: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel";
        assert_eq!(reader.read(&mut bytes, false, |_| {}), Ok(None));
        assert!(reader.is_in_content());
        assert_eq!(reader.end(), None);
        reader.reset();
        assert!(!reader.is_in_content());
    }
}
