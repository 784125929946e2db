//! One connection to the balancer: sends what was planned, takes the response apart, and checks that
//! every part of it belongs to this request.
//!
//! Owns: the connection and its buffers. Never: a second chance; a connection with a problem is
//! closed. Tested by `tests/soak.rs`.

use std::io::Write as _;
use std::net::SocketAddr;

use rand::RngExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::plan::{Kind, Plan};
use super::tally::{Problem, Tally};
use crate::pattern::Pattern;
use crate::wire::{Fault, Framing, Incoming, field, framing, write_chunk};

/// Most field lines of a response.
const FIELD_COUNT_MAX: usize = 128;

/// Largest chunk of chunked uploads.
const CHUNK_BYTES_MAX: usize = 8 * 1024;

/// Uploads are sent in writes of about this size.
const WRITE_BYTES: usize = 64 * 1024;

/// A kept connection.
#[derive(Debug)]
pub struct Client {
    incoming: Incoming<OwnedReadHalf>,
    outgoing: OwnedWriteHalf,
    host: String,
    out: Vec<u8>,
}

/// What a right response said.
#[derive(Debug)]
pub struct Seen {
    /// X-Target.
    pub target: String,
    /// Names and values of Set-Cookie.
    pub cookies: Vec<(String, String)>,
    /// The connection stays open.
    pub keep: bool,
}

/// A response's head, taken apart.
#[derive(Debug)]
struct Head {
    seen: Seen,
    framing: Option<Framing>,
}

impl Client {
    /// # Errors
    /// When the connection is refused.
    pub async fn open(address: SocketAddr, tally: &mut Tally) -> Result<Client, Problem> {
        let stream = TcpStream::connect(address).await.map_err(Problem::Connect)?;
        stream.set_nodelay(true).map_err(Problem::Connect)?;
        tally.connections += 1;
        let (read, outgoing) = stream.into_split();
        let incoming = Incoming::new(read);
        Ok(Client { incoming, outgoing, host: address.to_string(), out: Vec::new() })
    }

    /// Sends the planned request and checks the response.
    ///
    /// # Errors
    /// Whatever is not exactly as it must be.
    pub async fn exchange(
        &mut self,
        plan: &Plan,
        cookies: Option<String>,
    ) -> Result<Seen, Problem> {
        self.send(plan, cookies).await?;
        let size = self.incoming.head().await?.ok_or(Fault::Ended)?;
        let head = read_head(&self.incoming.waiting()[..size], plan)?;
        self.incoming.consume(size);
        match (plan.kind, head.framing) {
            // RFC 9112 §6.3: no content, whatever the fields say.
            (Kind::Head, _) => {}
            (_, None) => return Err(Problem::Unframed),
            (_, Some(framing)) => self.content(plan, framing).await?,
        }
        match self.incoming.waiting().len() {
            0 => Ok(head.seen),
            surplus => Err(Fault::Surplus(surplus).into()),
        }
    }

    async fn send(&mut self, plan: &Plan, cookies: Option<String>) -> Result<(), Problem> {
        self.write_head(plan, cookies);
        let mut content = Pattern::new(plan.id);
        let mut left = plan.upload_size;
        let mut chunk = Vec::new();
        while left > 0 {
            if plan.kind == Kind::Chunked {
                chunk.clear();
                let size = rand::rng().random_range(1..=CHUNK_BYTES_MAX).min(left);
                content.make(size, &mut chunk);
                write_chunk(&chunk, &mut self.out);
                left -= size;
            } else {
                let size = left.min(WRITE_BYTES);
                content.make(size, &mut self.out);
                left -= size;
            }
            if self.out.len() >= WRITE_BYTES {
                self.outgoing.write_all(&self.out).await.map_err(Problem::Send)?;
                self.out.clear();
            }
        }
        if plan.kind == Kind::Chunked {
            write_chunk(b"", &mut self.out);
        }
        self.outgoing.write_all(&self.out).await.map_err(Problem::Send)
    }

    fn write_head(&mut self, plan: &Plan, cookies: Option<String>) {
        let out = &mut self.out;
        out.clear();
        let id = String::from_utf8_lossy(&plan.id);
        // Writing into a Vec cannot fail.
        let _ = write!(
            out,
            "{} {} HTTP/1.1\r\nHost: {}\r\nX-Soak-Id: {id}\r\n",
            plan.kind.method(),
            path(plan),
            self.host
        );
        if let Some(cookies) = cookies {
            let _ = write!(out, "Cookie: {cookies}\r\n");
        }
        let _ = match plan.kind {
            Kind::Get | Kind::Head => write!(out, "\r\n"),
            Kind::Post => write!(out, "Content-Length: {}\r\n\r\n", plan.upload_size),
            Kind::Chunked => write!(out, "Transfer-Encoding: chunked\r\n\r\n"),
        };
    }

    async fn content(&mut self, plan: &Plan, framing: Framing) -> Result<(), Problem> {
        let mut pattern = Pattern::new(plan.id);
        self.incoming.content(framing, |bytes| pattern.check(bytes)).await?;
        if pattern.count != plan.response_size as u64 {
            return Err(Problem::Size { expected: plan.response_size as u64, seen: pattern.count });
        }
        if pattern.intact { Ok(()) } else { Err(Problem::ForeignBytes) }
    }
}

/// Reads a response's head and checks everything in it that belongs to the request.
fn read_head(bytes: &[u8], plan: &Plan) -> Result<Head, Problem> {
    let mut storage = [httparse::EMPTY_HEADER; FIELD_COUNT_MAX];
    let mut response = httparse::Response::new(&mut storage);
    let complete = response.parse(bytes).is_ok_and(|parsed| parsed.is_complete());
    let (true, Some(status)) = (complete, response.code) else { return Err(Problem::Head) };
    let fields = &*response.headers;
    let target = judge_head(status, plan, |name| field(fields, name))?;
    let framing = framing(fields);
    let cookies = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("set-cookie"));
    let cookies = cookies.filter_map(|field| cookie(field.value));
    let close = field(fields, "connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
    Ok(Head { seen: Seen { target, cookies: cookies.collect(), keep: !close }, framing })
}

/// Checks everything in a final response's head that belongs to the request; the target that answered.
pub fn judge_head<'f>(
    status: u16,
    plan: &Plan,
    field: impl Fn(&str) -> Option<&'f str>,
) -> Result<String, Problem> {
    if status != 200 {
        return Err(Problem::Status(status));
    }
    if field("x-soak-id").map(str::as_bytes) != Some(plan.id.as_slice()) {
        return Err(Problem::ForeignId);
    }
    if field("x-soak-received") != Some(plan.upload_size.to_string().as_str()) {
        return Err(Problem::UploadDamaged);
    }
    let target = field("x-target").ok_or(Problem::NoTarget)?.to_owned();
    let expected = plan.response_size as u64;
    match field("content-length").and_then(|size| size.parse().ok()) {
        Some(size) if size != expected => Err(Problem::Size { expected, seen: size }),
        _ => Ok(target),
    }
}

/// Name and value of one Set-Cookie.
pub fn cookie(value: &[u8]) -> Option<(String, String)> {
    let pair = str::from_utf8(value).ok()?.split(';').next()?;
    let (name, value) = pair.split_once('=')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

/// Path and query of a planned request.
pub fn path(plan: &Plan) -> String {
    let id = String::from_utf8_lossy(&plan.id);
    let chunked = if plan.response_chunked { "&chunked=1" } else { "" };
    format!("/soak/{id}?size={}{chunked}", plan.response_size)
}
