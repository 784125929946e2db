//! Messages as the simulated peers write and read them: strictly, and with content that identifies its request.

use memchr::memmem;

use super::plan::{Chance, Framing};
use crate::transport::stream::Stream;

/// The longest content.
const LENGTH_MAX: usize = 300_000;
/// How far apart the contents of two requests begin in the noise that all are taken from.
const STEP: usize = 61;

thread_local! {
    static NOISE: Vec<u8> = {
        let mut chance = Chance::new(0);
        (0..LENGTH_MAX + 256 * STEP).map(|_| chance.below(256) as u8).collect()
    };
}

/// The content of a request; `is_response` selects the direction.
pub(super) fn content(id: u32, is_response: bool, length: usize) -> Vec<u8> {
    let from = (id as usize % 128 * 2 + usize::from(is_response)) * STEP;
    NOISE.with(|noise| noise[from..from + length].to_vec())
}

/// Puts content behind a head.
pub(super) fn put_content(message: &mut Vec<u8>, content: &[u8], framing: Framing) {
    match framing {
        Framing::Length | Framing::Close => message.extend_from_slice(content),
        Framing::Chunked => {
            // Chunks of another length than any buffer.
            for chunk in content.chunks(7000) {
                message.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                message.extend_from_slice(chunk);
                message.extend_from_slice(b"\r\n");
            }
            message.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

/// How a message that was read has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// As its framing said.
    Complete,
    /// By the clean end of the connection, where that is how content ends.
    ByClose,
    /// By a clean end of the connection that came too early.
    Short,
    ByReset,
}

/// A head and how the content behind it is framed.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub start: String,
    pub fields: Vec<(String, String)>,
    pub length: Option<usize>,
    pub is_chunked: bool,
}

impl Head {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let is_it = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().find(is_it).map(|(_, value)| value.as_str())
    }

    fn parse(text: &[u8]) -> Result<Head, String> {
        let text = std::str::from_utf8(text).map_err(|_| "a head that is no text".to_owned())?;
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(format!("a field line {line:?}"))?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut head = Head { start, fields, length: None, is_chunked: false };
        head.is_chunked = head
            .field("Transfer-Encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        if let Some(length) = head.field("Content-Length") {
            let length = length.parse().map_err(|_| format!("Content-Length {length:?}"))?;
            head.length = Some(length);
        }
        if head.is_chunked && head.length.is_some() {
            return Err("both Transfer-Encoding and Content-Length".to_owned());
        }
        Ok(head)
    }
}

/// Reads messages from a stream.
pub(super) struct Reader {
    stream: Stream,
    bytes: Vec<u8>,
    at: usize,
    /// How the stream has ended.
    pub(super) ended: Option<End>,
    pause: std::time::Duration,
}

/// The longest head.
const HEAD_MAX: usize = 65_536;

impl Reader {
    pub(super) fn new(stream: Stream, pause: std::time::Duration) -> Reader {
        Reader { stream, bytes: Vec::new(), at: 0, ended: None, pause }
    }

    /// Receives more; `false` at the end.
    pub(super) async fn more(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        if !self.pause.is_zero() {
            crate::uring::simulated::wait(self.pause).await;
        }
        self.bytes.drain(..self.at);
        self.at = 0;
        let (result, received) = self.stream.recv(Vec::with_capacity(16_400)).await;
        match result {
            Ok(0) => self.ended = Some(End::Short),
            Ok(_) => self.bytes.extend_from_slice(&received),
            Err(_) => self.ended = Some(End::ByReset),
        }
        self.ended.is_none()
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.unread()[..count].to_vec();
        self.at += count;
        taken
    }

    /// The next head; `None` at the end of the connection.
    pub(super) async fn head(&mut self) -> Result<Option<Head>, String> {
        loop {
            let end = memmem::find(self.unread(), b"\r\n\r\n");
            if let Some(end) = end {
                let text = self.take(end + 4);
                return Head::parse(&text[..end]).map(Some);
            }
            if self.unread().len() > HEAD_MAX {
                return Err("a head that does not end".to_owned());
            }
            if !self.more().await {
                return Ok(None);
            }
        }
    }

    async fn exactly(&mut self, count: usize, content: &mut Vec<u8>) -> End {
        let mut left = count;
        while left > 0 {
            let here = self.unread().len().min(left);
            if here == 0 {
                if !self.more().await {
                    return self.ended.unwrap_or(End::Short);
                }
                continue;
            }
            content.extend_from_slice(&self.unread()[..here]);
            self.at += here;
            left -= here;
        }
        End::Complete
    }

    async fn line(&mut self) -> Result<Vec<u8>, End> {
        loop {
            if let Some(end) = memmem::find(self.unread(), b"\r\n") {
                let mut line = self.take(end + 2);
                line.truncate(end);
                return Ok(line);
            }
            if !self.more().await {
                return Err(self.ended.unwrap_or(End::Short));
            }
        }
    }

    async fn chunks(&mut self, content: &mut Vec<u8>) -> Result<End, String> {
        loop {
            let line = match self.line().await {
                Ok(line) => line,
                Err(end) => return Ok(end),
            };
            let text = String::from_utf8_lossy(&line).into_owned();
            let size =
                usize::from_str_radix(&text, 16).map_err(|_| format!("chunk line {text:?}"))?;
            if size == 0 {
                // No peer sends trailers here.
                return match self.line().await {
                    Ok(line) if line.is_empty() => Ok(End::Complete),
                    Ok(line) => Err(format!("a trailer {line:?}")),
                    Err(end) => Ok(end),
                };
            }
            match self.exactly(size, content).await {
                End::Complete => {}
                end => return Ok(end),
            }
            match self.line().await {
                Ok(line) if line.is_empty() => {}
                Ok(line) => return Err(format!("behind a chunk: {line:?}")),
                Err(end) => return Ok(end),
            }
        }
    }

    /// All bytes until the connection ends.
    pub(super) async fn rest(&mut self) -> (Vec<u8>, End) {
        let mut content = Vec::new();
        match self.exactly(usize::MAX, &mut content).await {
            End::Short => (content, End::ByClose),
            end => (content, end),
        }
    }

    /// The content behind `head`; with `until_close`, content without framing lasts until the close.
    pub(super) async fn content(
        &mut self,
        head: &Head,
        until_close: bool,
    ) -> Result<(Vec<u8>, End), String> {
        let mut content = Vec::new();
        let end = if head.is_chunked {
            self.chunks(&mut content).await?
        } else if let Some(length) = head.length {
            self.exactly(length, &mut content).await
        } else if until_close {
            return Ok(self.rest().await);
        } else {
            End::Complete
        };
        Ok((content, end))
    }
}
