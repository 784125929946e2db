//! The access log: records go from the shards to one thread, which makes lines and writes them.
//!
//! ```text
//! shard ── current batch ──▶ full  (bounded queue) ──▶ log thread ──▶ one write a batch
//!               ▲                                          │
//!               └────────── empty (bounded queue) ◀────────┘
//! ```
//! All batches of a shard are made at its start and circulate; when none is free the record is dropped
//! and counted, the shard never waits. The thread sleeps until a batch is handed over. A write that
//! fails loses its lines, counts them and is warned of once a second; the next batch is tried again.
//! Tested with outputs that fail, block and remember.
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;

use super::format::Formatter;
use super::record::{Record, RecordBuffer};
use crate::snapshot::{AccessLogOptions, LogFormat, LogOutput};

/// Batches into which a shard's buffer is split.
const BATCH_COUNT: usize = 8;
/// Lines that cannot be written are warned of no more often than this.
const WARNING_INTERVAL: Duration = Duration::from_secs(1);

/// The process's access log. Dropping it writes what was handed over and ends the thread.
#[derive(Debug)]
pub struct AccessLog {
    /// `None` when the output is off.
    running: Option<Running>,
    buffer_bytes: usize,
}

#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    join: Mutex<Option<JoinHandle<()>>>,
    thread: Thread,
}

/// What the thread and the outside share.
#[derive(Debug, Default)]
struct Shared {
    /// Locked when a shard starts, and by the thread once each time it wakes; never by a shard at work.
    channels: Mutex<Vec<Arc<Channel>>>,
    stop: AtomicBool,
    lines_written: AtomicU64,
    lines_failed: AtomicU64,
    /// Dropped lines of shards that have ended.
    lines_dropped_before: AtomicU64,
}

/// The two queues of one shard; each has room for all its batches, so a push never fails.
#[derive(Debug)]
struct Channel {
    full: ArrayQueue<RecordBuffer>,
    empty: ArrayQueue<RecordBuffer>,
    /// Written by the shard alone.
    lines_dropped: AtomicU64,
    /// The shard has handed over its last batch.
    closed: AtomicBool,
}

impl AccessLog {
    /// Opens the output and starts the thread; nothing is started when the output is off.
    ///
    /// Errors name the file that could not be opened.
    pub fn start(options: &AccessLogOptions) -> io::Result<AccessLog> {
        let output: File = match &options.output {
            LogOutput::Off => {
                return Ok(AccessLog { running: None, buffer_bytes: options.buffer_bytes });
            }
            LogOutput::Stdout => io::stdout().as_fd().try_clone_to_owned()?.into(),
            LogOutput::File(path) => {
                OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
                    let text = format!("cannot open the access log {}: {error}", path.display());
                    io::Error::new(error.kind(), text)
                })?
            }
        };
        AccessLog::start_on(output, options.format, options.buffer_bytes)
    }

    /// Starts the thread on any output.
    pub(super) fn start_on(
        output: impl Write + Send + 'static,
        format: LogFormat,
        buffer_bytes: usize,
    ) -> io::Result<AccessLog> {
        let shared = Arc::new(Shared::default());
        let mut writer = Writer {
            shared: Arc::clone(&shared),
            formatter: Formatter::new(format),
            output,
            lines: Vec::new(),
            mid_line: false,
            last_warning: None,
        };
        let builder = std::thread::Builder::new().name("limpet-log".into());
        let join = builder.spawn(move || writer.run())?;
        let thread = join.thread().clone();
        let running = Running { shared, join: Mutex::new(Some(join)), thread };
        Ok(AccessLog { running: Some(running), buffer_bytes })
    }

    /// The writing end of one shard, with batches of its own.
    pub fn shard_writer(&self) -> ShardLog {
        let Some(running) = &self.running else { return ShardLog { writer: None } };
        let batch_bytes = self.buffer_bytes / BATCH_COUNT;
        let channel = Arc::new(Channel {
            full: ArrayQueue::new(BATCH_COUNT),
            empty: ArrayQueue::new(BATCH_COUNT),
            lines_dropped: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        let mut channels = running.shared.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.push(Arc::clone(&channel));
        ShardLog {
            writer: Some(ShardWriter {
                channel,
                thread: running.thread.clone(),
                current: None,
                free: (0..BATCH_COUNT).map(|_| RecordBuffer::new(batch_bytes)).collect(),
            }),
        }
    }

    /// Lines that found no free batch.
    pub fn lines_dropped(&self) -> u64 {
        self.running.as_ref().map_or(0, |running| running.shared.lines_dropped())
    }

    /// Lines that were written.
    pub fn lines_written(&self) -> u64 {
        self.running
            .as_ref()
            .map_or(0, |running| running.shared.lines_written.load(Ordering::Relaxed))
    }

    /// Lines lost to an output that failed.
    pub fn lines_failed(&self) -> u64 {
        self.running
            .as_ref()
            .map_or(0, |running| running.shared.lines_failed.load(Ordering::Relaxed))
    }

    /// Writes everything that was handed over and ends the thread. Shards are dropped or flushed before.
    pub fn shutdown(&self) {
        let Some(running) = &self.running else { return };
        running.shared.stop.store(true, Ordering::Release);
        running.thread.unpark();
        let join = running.join.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(join) = join
            && join.join().is_err()
        {
            tracing::error!("the access log's thread ended by a panic");
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Shared {
    fn lines_dropped(&self) -> u64 {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let current: u64 =
            channels.iter().map(|channel| channel.lines_dropped.load(Ordering::Relaxed)).sum();
        current.wrapping_add(self.lines_dropped_before.load(Ordering::Relaxed))
    }
}

/// A shard's end of the log. Dropping it hands over what it holds.
#[derive(Debug)]
pub struct ShardLog {
    writer: Option<ShardWriter>,
}

#[derive(Debug)]
struct ShardWriter {
    channel: Arc<Channel>,
    thread: Thread,
    current: Option<RecordBuffer>,
    /// The batch that was used last is used next, while it is still in the cache.
    free: Vec<RecordBuffer>,
}

impl ShardLog {
    /// Whether records go anywhere; when not, there is no need to fill them.
    pub fn enabled(&self) -> bool {
        self.writer.is_some()
    }

    /// Notes one request; `false` when it was dropped for want of room. Never waits.
    pub fn record(&mut self, record: &Record<'_>) -> bool {
        let Some(writer) = &mut self.writer else { return true };
        if writer.push(record) {
            return true;
        }
        let dropped = &writer.channel.lines_dropped;
        // The shard is the only writer.
        dropped.store(dropped.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        false
    }

    /// Hands over what was noted, so that lines appear although batches are not full. Called on the shard's
    /// coarse tick.
    pub fn flush(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.hand_over();
        }
    }

    /// Lines of this shard that found no free batch.
    pub fn lines_dropped(&self) -> u64 {
        self.writer
            .as_ref()
            .map_or(0, |writer| writer.channel.lines_dropped.load(Ordering::Relaxed))
    }
}

impl Drop for ShardLog {
    fn drop(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.hand_over();
            writer.channel.closed.store(true, Ordering::Release);
            writer.thread.unpark();
        }
    }
}

impl ShardWriter {
    fn push(&mut self, record: &Record<'_>) -> bool {
        if let Some(current) = &mut self.current {
            if current.push(record) {
                return true;
            }
            self.hand_over();
        }
        let Some(mut batch) = self.next_free() else { return false };
        let pushed = batch.push(record);
        self.current = Some(batch);
        pushed
    }

    fn next_free(&mut self) -> Option<RecordBuffer> {
        while let Some(batch) = self.channel.empty.pop() {
            self.free.push(batch);
        }
        self.free.pop()
    }

    /// Gives the current batch to the thread and wakes it.
    fn hand_over(&mut self) {
        let Some(batch) = self.current.take_if(|batch| !batch.is_empty()) else { return };
        if let Err(batch) = self.channel.full.push(batch) {
            // There are no more batches than places; kept rather than lost.
            self.current = Some(batch);
        }
        self.thread.unpark();
    }
}

/// The thread's side.
struct Writer<W> {
    shared: Arc<Shared>,
    formatter: Formatter,
    output: W,
    lines: Vec<u8>,
    /// The last write ended within a line.
    mid_line: bool,
    last_warning: Option<Instant>,
}

impl<W: Write> Writer<W> {
    fn run(&mut self) {
        loop {
            // Read before the queues: what was handed over before the stop is then seen.
            let stop = self.shared.stop.load(Ordering::Acquire);
            let wrote = self.write_round();
            if !wrote && stop {
                return;
            }
            if !wrote {
                // A batch handed over since leaves a token that ends this at once.
                std::thread::park();
            }
        }
    }

    /// Writes at most one batch of every shard; says whether there was any.
    fn write_round(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let channels: Vec<_> = {
            let mut channels = shared.channels.lock().unwrap_or_else(PoisonError::into_inner);
            channels.retain(|channel| {
                // Closed is read first: afterwards nothing more comes.
                let closed = channel.closed.load(Ordering::Acquire) && channel.full.is_empty();
                if closed {
                    let dropped = channel.lines_dropped.load(Ordering::Relaxed);
                    shared.lines_dropped_before.fetch_add(dropped, Ordering::Relaxed);
                }
                !closed
            });
            channels.clone()
        };
        let mut wrote = false;
        for channel in &channels {
            if let Some(mut batch) = channel.full.pop() {
                wrote = true;
                self.write_batch(&batch);
                batch.clear();
                // The queue has room for all batches of its shard.
                drop(channel.empty.push(batch));
            }
        }
        wrote
    }

    fn write_batch(&mut self, batch: &RecordBuffer) {
        self.lines.clear();
        if self.mid_line {
            self.lines.push(b'\n');
        }
        for record in batch.records() {
            self.formatter.line(&record, &mut self.lines);
        }
        let (taken, result) = write_all(&mut self.output, &self.lines);
        let whole = self.lines.get(..taken).unwrap_or_default();
        if let Some(&last) = whole.last() {
            self.mid_line = last != b'\n';
        }
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        match result {
            Ok(()) => drop(self.shared.lines_written.fetch_add(count, Ordering::Relaxed)),
            Err(error) => {
                let ends = memchr::memchr_iter(b'\n', whole).filter(|&at| at > 0).count();
                let written = u64::try_from(ends).unwrap_or(u64::MAX).min(count);
                self.shared.lines_written.fetch_add(written, Ordering::Relaxed);
                let failed = count.saturating_sub(written);
                let failed = self.shared.lines_failed.fetch_add(failed, Ordering::Relaxed) + failed;
                self.warn(&error, failed);
            }
        }
    }

    fn warn(&mut self, error: &io::Error, lines_failed: u64) {
        let now = Instant::now();
        if self.last_warning.is_none_or(|last| now.duration_since(last) >= WARNING_INTERVAL) {
            self.last_warning = Some(now);
            tracing::warn!(%error, lines_failed, "the access log cannot be written");
        }
    }
}

/// Like `Write::write_all`, and says how many bytes were taken when it fails.
fn write_all(output: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut taken = 0;
    while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
        match output.write(rest) {
            Ok(0) => return (taken, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => taken = taken.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (taken, Err(error)),
        }
    }
    (taken, output.flush())
}
