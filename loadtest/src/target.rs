//! A target that answers fast and says what it saw: the far end of a soak.
//!
//! Owns: its listener and its answers. Never: state between requests, cookies, or an answer to a
//! request whose id does not agree with itself. Tested by `tests/soak.rs`.
//!
//! `/soak/ID?size=N[&chunked=1]`: answers with N bytes of the id's pattern. Anything else: answers with
//! `--size` bytes. Every answer has `X-Target`; `X-Soak-Id` as it came; and `X-Soak-Received`, the count of
//! content bytes, or `damaged` when they did not follow the id's pattern.

mod asked;
mod streams;

use std::error::Error;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::asked::{Answers, Asked};
use self::streams::Streams;
use crate::http2::frame::PREFACE;
use crate::pattern::Pattern;
use crate::wire::{Fault, Incoming, write_chunk};

/// Size of the chunks of chunked answers.
const CHUNK_BYTES: usize = 8 * 1024;

/// How long accepting pauses after it failed, for want of descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Options of `loadtest target`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, value_name = "IP:PORT")]
    address: SocketAddr,
    /// Value of X-Target
    #[arg(long)]
    id: String,
    /// Content of answers outside /soak/, in bytes
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Threads that answer
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// Answers until SIGTERM or SIGINT; then finishes the requests that have begun.
///
/// # Errors
/// When the address cannot be bound, or a thread or a runtime cannot be had.
pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(options.address)
        .map_err(|error| format!("cannot listen on {}: {error}", options.address))?;
    listener.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // Before anybody knows of this process, and can ask it to end.
    let (mut terminate, mut interrupt) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    println!("target {} on {}", options.id, listener.local_addr()?);
    io::stdout().flush()?;
    let answers = Arc::new(Answers { id: options.id.clone(), plain: vec![b'x'; options.size] });
    let (stop, stopped) = watch::channel(false);
    let mut threads = Vec::new();
    for _ in 0..options.threads.max(1) {
        let (listener, answers, stopped) =
            (listener.try_clone()?, answers.clone(), stopped.clone());
        threads.push(thread::spawn(move || serve(listener, &answers, &stopped)));
    }
    // The threads have sockets of their own: once they are gone, nothing listens any more.
    drop(listener);
    runtime.block_on(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    stop.send_replace(true);
    for thread in threads {
        thread.join().map_err(|_| "a thread of the target panicked")??;
    }
    Ok(())
}

fn serve(
    listener: TcpListener,
    answers: &Arc<Answers>,
    stopped: &watch::Receiver<bool>,
) -> io::Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut connections = JoinSet::new();
        let mut stop = stopped.clone();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted.inspect_err(|error| eprintln!("{error}")) else {
                        sleep(ACCEPT_PAUSE).await;
                        continue;
                    };
                    stream.set_nodelay(true)?;
                    let connection = Connection::new(stream, answers.clone(), stopped.clone());
                    connections.spawn(connection.run());
                }
                // Ends of connections are taken as they come, lest they pile up.
                Some(_) = connections.join_next() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
        Ok(())
    })
}

struct Connection {
    incoming: Incoming<OwnedReadHalf>,
    outgoing: OwnedWriteHalf,
    answers: Arc<Answers>,
    stopped: watch::Receiver<bool>,
    out: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream, answers: Arc<Answers>, stopped: watch::Receiver<bool>) -> Connection {
        let (read, outgoing) = stream.into_split();
        Connection { incoming: Incoming::new(read), outgoing, answers, stopped, out: Vec::new() }
    }

    /// Answers request after request; whatever goes wrong ends the connection, and the other side
    /// reports it.
    async fn run(mut self) {
        match self.has_preface().await {
            true => drop(self.exchange_streams().await),
            false => while self.exchange().await.unwrap_or(false) {},
        }
    }

    /// Waits for so much that it tells HTTP/2 from HTTP/1.1.
    async fn has_preface(&mut self) -> bool {
        loop {
            let waiting = self.incoming.waiting();
            let count = waiting.len().min(PREFACE.len());
            if count > 0 && (count == PREFACE.len() || waiting[..count] != PREFACE[..count]) {
                return waiting[..count] == PREFACE[..count];
            }
            let arrived = tokio::select! {
                arrived = self.incoming.more() => arrived,
                _ = self.stopped.wait_for(|stopped| *stopped) => return false,
            };
            if !arrived.unwrap_or(false) {
                return false;
            }
        }
    }

    /// Answers over HTTP/2 until the client has had enough, or until all is answered that had begun.
    async fn exchange_streams(&mut self) -> Result<(), Fault> {
        let mut streams = Streams::new(self.answers.clone());
        loop {
            let waiting = self.incoming.waiting();
            let (count, taken) = (waiting.len(), streams.take_in(waiting));
            self.incoming.consume(count);
            if *self.stopped.borrow() {
                streams.leave();
            }
            self.outgoing.write_all(&streams.take_out()).await?;
            if taken.is_err() || streams.is_done() {
                return Ok(());
            }
            let is_leaving = streams.is_leaving();
            tokio::select! {
                arrived = self.incoming.more() => if !arrived? { return Ok(()) },
                _ = self.stopped.wait_for(|stopped| *stopped), if !is_leaving => {}
            }
        }
    }

    /// One request and its answer; `false` when the connection is to close.
    async fn exchange(&mut self) -> Result<bool, Fault> {
        let arrived = tokio::select! {
            arrived = self.incoming.head() => arrived?,
            _ = self.stopped.wait_for(|stopped| *stopped) => None,
        };
        let Some(size) = arrived else { return Ok(false) };
        let Some(asked) = Asked::read(&self.incoming.waiting()[..size]) else {
            self.outgoing
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                .await?;
            return Ok(false);
        };
        self.incoming.consume(size);
        if asked.expects {
            self.outgoing.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut received = Pattern::new(asked.id.unwrap_or_default());
        if let Some(framing) = asked.framing {
            self.incoming.content(framing, |bytes| received.check(bytes)).await?;
        }
        let keep = !asked.close && !*self.stopped.borrow();
        self.write_answer(&asked, &received, keep);
        self.outgoing.write_all(&self.out).await?;
        Ok(keep)
    }

    fn write_answer(&mut self, asked: &Asked, received: &Pattern, keep: bool) {
        let out = &mut self.out;
        out.clear();
        let status = if asked.mixed { "409 Conflict" } else { "200 OK" };
        // Writing into a Vec cannot fail.
        let _ = write!(
            out,
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nX-Target: {}\r\n",
            self.answers.id
        );
        if let Some(id) = &asked.id {
            out.extend_from_slice(b"X-Soak-Id: ");
            out.extend_from_slice(id);
            let _ = match received.intact {
                true => write!(out, "\r\nX-Soak-Received: {}\r\n", received.count),
                false => write!(out, "\r\nX-Soak-Received: damaged\r\n"),
            };
        }
        if !keep {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        if asked.chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        } else {
            let size = asked.id.map_or(self.answers.plain.len(), |_| asked.size);
            let _ = write!(out, "Content-Length: {size}\r\n\r\n");
        }
        if !asked.head_only {
            self.write_content(asked);
        }
    }

    fn write_content(&mut self, asked: &Asked) {
        let Some(id) = asked.id else {
            return self.out.extend_from_slice(&self.answers.plain);
        };
        let mut pattern = Pattern::new(id);
        if !asked.chunked {
            return pattern.make(asked.size, &mut self.out);
        }
        let mut left = asked.size;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        while left > 0 {
            chunk.clear();
            pattern.make(left.min(CHUNK_BYTES), &mut chunk);
            left -= chunk.len();
            write_chunk(&chunk, &mut self.out);
        }
        write_chunk(b"", &mut self.out);
    }
}
