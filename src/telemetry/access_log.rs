//! The access log: records go from the shards to one thread, which formats and writes them.
//!
//! ```text
//! shard ── current batch ──▶ full  (bounded queue) ──▶ log thread ──▶ a write per 64 KiB
//!               ▲                                          │   ▲
//!               └────────── empty (bounded queue) ◀────────┘   └── changes: a new output, a new style
//! ```
//! All batches of a shard are made at its start and circulate; when none is free the record is dropped and counted: the
//! shard never waits. The thread sleeps until a batch is handed over. A failed write loses its lines, counts them and
//! is warned of at most once a second; the next lines are tried again. The last lines of a batch are written before the
//! thread takes the next batch. A record that is not sampled is skipped before it is copied, and does not count as
//! dropped. A file is opened by the caller that asks for the change, so that the thread never waits for one and a
//! failure changes nothing. Tested with outputs that fail, block and remember.
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;

use super::format::line::Lines;
use super::format::{Formatter, Style};
use super::log_output::{self, Output};
use super::record::Record;
use crate::telemetry::batch::RecordBuffer;
use crate::telemetry::options::{AccessLogOptions, LogOutput};

/// Batches into which a shard's buffer is split.
const BATCH_COUNT: usize = 8;
/// Memory that collects lines; it is written when it is full, or when a batch has ended.
const LINES_BYTES: usize = 64 * 1024;
/// The shortest time between two warnings about lines that cannot be written.
const WARNING_INTERVAL: Duration = Duration::from_secs(1);
/// The sample that records nothing.
const OFF: u32 = 0;

/// The process's access log. Dropping it writes the batches that were handed over and ends the thread.
#[derive(Debug)]
pub struct AccessLog {
    handle: LogHandle,
    join: Mutex<Option<JoinHandle<()>>>,
    buffer_bytes: usize,
}

/// The handle through which the log is changed and asked, while it runs and afterwards.
#[derive(Debug, Clone)]
pub struct LogHandle {
    shared: Arc<Shared>,
    thread: Thread,
}

/// How many lines were written, dropped and lost so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogCounts {
    pub lines_written: u64,
    /// Lines that found no free batch.
    pub lines_dropped: u64,
    /// Lines lost to an output that failed.
    pub lines_failed: u64,
}

/// The state that the thread shares with shards and handles.
#[derive(Debug)]
struct Shared {
    /// Locked when a shard starts, and by the thread once each time it wakes; never by a shard at work.
    channels: Mutex<Vec<Arc<Channel>>>,
    /// The changes that the thread makes before its next batch.
    change: Mutex<Change>,
    /// The output as the operator named it; locked for as long as a change takes.
    destination: Mutex<LogOutput>,
    /// One of so many records is taken, and every failure; [`OFF`] = none. Read by shards.
    sample: AtomicU32,
    /// Whether lines have the whole certificates of clients, which batches carry then. Read by shards, once a batch.
    certificates: AtomicBool,
    stop: AtomicBool,
    lines_written: AtomicU64,
    lines_failed: AtomicU64,
    /// Dropped lines of shards that have ended.
    lines_dropped_before: AtomicU64,
}

#[derive(Default)]
struct Change {
    output: Option<Output>,
    style: Option<Style>,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = self.output.is_some();
        f.debug_struct("Change").field("output", &output).field("style", &self.style).finish()
    }
}

/// The two queues of one shard; each has room for all its batches, so a push never fails.
#[derive(Debug)]
struct Channel {
    full: ArrayQueue<RecordBuffer>,
    empty: ArrayQueue<RecordBuffer>,
    /// Counted by the shard alone.
    lines_dropped: AtomicU64,
    /// Whether the shard has handed over its last batch.
    closed: AtomicBool,
}

impl AccessLog {
    /// Opens the output and starts the thread, which sleeps while the output is off.
    ///
    /// # Errors
    /// A file that cannot be opened, named in the error; a template that cannot be parsed.
    pub fn start(options: &AccessLogOptions) -> io::Result<AccessLog> {
        AccessLog::start_on(log_output::open(&options.output)?, options)
    }

    /// Starts the thread on any output.
    pub(super) fn start_on(output: Output, options: &AccessLogOptions) -> io::Result<AccessLog> {
        let style = style(options)?;
        let shared = Arc::new(Shared::new(options, &style));
        let mut writer = Writer {
            shared: Arc::clone(&shared),
            formatter: Formatter::new(style),
            output,
            lines: Lines::new(LINES_BYTES),
            mid_line: false,
            last_warning: None,
        };
        let builder = std::thread::Builder::new().name("limpet-log".into());
        let join = builder.spawn(move || writer.run())?;
        let handle = LogHandle { shared, thread: join.thread().clone() };
        Ok(AccessLog { handle, join: Mutex::new(Some(join)), buffer_bytes: options.buffer_bytes })
    }

    /// The handle that changes and asks the log; it outlives the log.
    pub fn handle(&self) -> &LogHandle {
        &self.handle
    }

    /// The writing end of one shard, with batches of its own.
    pub fn shard_writer(&self) -> ShardLog {
        let batch_bytes = self.buffer_bytes / BATCH_COUNT;
        let channel = Arc::new(Channel {
            full: ArrayQueue::new(BATCH_COUNT),
            empty: ArrayQueue::new(BATCH_COUNT),
            lines_dropped: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        let shared = &self.handle.shared;
        lock(&shared.channels).push(Arc::clone(&channel));
        ShardLog {
            shared: Arc::clone(shared),
            channel,
            thread: self.handle.thread.clone(),
            current: None,
            free: (0..BATCH_COUNT).map(|_| RecordBuffer::new(batch_bytes)).collect(),
            skip: 0,
        }
    }

    /// Writes everything that was handed over and ends the thread. Shards must have been dropped or flushed before.
    pub fn shutdown(&self) {
        self.handle.shared.stop.store(true, Ordering::Release);
        self.handle.thread.unpark();
        let join = lock(&self.join).take();
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

impl LogHandle {
    /// All three counts, as one value.
    pub fn counts(&self) -> LogCounts {
        LogCounts {
            lines_written: self.lines_written(),
            lines_dropped: self.lines_dropped(),
            lines_failed: self.lines_failed(),
        }
    }

    /// How many lines were written.
    pub fn lines_written(&self) -> u64 {
        self.shared.lines_written.load(Ordering::Relaxed)
    }

    /// How many lines found no free batch.
    pub fn lines_dropped(&self) -> u64 {
        let channels = lock(&self.shared.channels);
        let current: u64 =
            channels.iter().map(|channel| channel.lines_dropped.load(Ordering::Relaxed)).sum();
        current.wrapping_add(self.shared.lines_dropped_before.load(Ordering::Relaxed))
    }

    /// How many lines were lost to an output that failed.
    pub fn lines_failed(&self) -> u64 {
        self.shared.lines_failed.load(Ordering::Relaxed)
    }

    /// Opens the file anew: batches that are handed over afterwards go to the new one. Does nothing when the output is
    /// no file. May wait for a file system.
    ///
    /// # Errors
    /// A file that cannot be opened, named in the error; the old one is kept, and a warning was given.
    pub fn reopen(&self) -> io::Result<()> {
        let destination = self.shared.destination();
        if matches!(*destination, LogOutput::File(_)) {
            let output = log_output::open(&destination).inspect_err(|error| {
                tracing::warn!("{error}; the access log stays where it was");
            })?;
            self.change(Change { output: Some(output), style: None });
        }
        Ok(())
    }

    /// Changes output, format, template, sample and query of the running log. The size of its buffers
    /// stays. May wait for a file system.
    ///
    /// # Errors
    /// As [`AccessLog::start`]; then nothing has changed.
    pub fn reconfigure(&self, options: &AccessLogOptions) -> io::Result<()> {
        let style = style(options)?;
        let mut destination = self.shared.destination();
        let output = if *destination == options.output {
            None
        } else {
            Some(log_output::open(&options.output)?)
        };
        destination.clone_from(&options.output);
        self.shared.certificates.store(style.has_certificates(), Ordering::Relaxed);
        self.change(Change { output, style: Some(style) });
        self.shared.sample.store(sample(options), Ordering::Relaxed);
        Ok(())
    }

    /// Adds to the changes that the thread has not made yet, and wakes it.
    fn change(&self, change: Change) {
        let mut waiting = lock(&self.shared.change);
        waiting.output = change.output.or_else(|| waiting.output.take());
        waiting.style = change.style.or_else(|| waiting.style.take());
        drop(waiting);
        self.thread.unpark();
    }
}

impl Shared {
    fn new(options: &AccessLogOptions, style: &Style) -> Shared {
        Shared {
            channels: Mutex::default(),
            change: Mutex::default(),
            destination: Mutex::new(options.output.clone()),
            sample: AtomicU32::new(sample(options)),
            certificates: AtomicBool::new(style.has_certificates()),
            stop: AtomicBool::new(false),
            lines_written: AtomicU64::new(0),
            lines_failed: AtomicU64::new(0),
            lines_dropped_before: AtomicU64::new(0),
        }
    }

    fn destination(&self) -> MutexGuard<'_, LogOutput> {
        lock(&self.destination)
    }
}

/// The data behind these locks is consistent at any time, so a poisoned lock can be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn style(options: &AccessLogOptions) -> io::Result<Style> {
    Style::of(options).map_err(|fault| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("access_log.template {fault}"))
    })
}

fn sample(options: &AccessLogOptions) -> u32 {
    match options.output {
        LogOutput::Off => OFF,
        LogOutput::Stdout | LogOutput::File(_) => options.sample.max(1),
    }
}

/// A shard's end of the log. Dropping it hands over its current batch.
#[derive(Debug)]
pub struct ShardLog {
    shared: Arc<Shared>,
    channel: Arc<Channel>,
    thread: Thread,
    current: Option<RecordBuffer>,
    /// The batch that was used last is used next, while it is still in the cache.
    free: Vec<RecordBuffer>,
    /// How many records to skip before the next one is taken.
    skip: u32,
}

impl ShardLog {
    /// Notes one request; `false` when it was dropped for lack of room. Never waits.
    #[inline(always)]
    pub fn record(&mut self, record: &Record<'_>) -> bool {
        let sample = self.shared.sample.load(Ordering::Relaxed);
        if sample != 1 && !self.is_sampled(sample, record) {
            return true;
        }
        if self.push(record) {
            return true;
        }
        let dropped = &self.channel.lines_dropped;
        // The shard is the only writer.
        dropped.store(dropped.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        false
    }

    /// Whether this record is the next of the sample, or a failure.
    fn is_sampled(&mut self, sample: u32, record: &Record<'_>) -> bool {
        if sample == OFF {
            return false;
        }
        if record.is_failure() {
            return true;
        }
        // A sample that has become smaller takes effect at once.
        self.skip = self.skip.min(sample - 1);
        let is_due = self.skip == 0;
        self.skip = if is_due { sample - 1 } else { self.skip - 1 };
        is_due
    }

    /// Hands over the current batch, so that its lines appear although it is not full. Called on the shard's coarse
    /// tick.
    pub fn flush(&mut self) {
        self.hand_over();
    }

    /// Lines of this shard that found no free batch.
    #[cfg(any(test, feature = "internals"))]
    pub fn lines_dropped(&self) -> u64 {
        self.channel.lines_dropped.load(Ordering::Relaxed)
    }

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
        let mut batch = self.free.pop()?;
        batch.carry_certificates(self.shared.certificates.load(Ordering::Relaxed));
        Some(batch)
    }

    /// Gives the current batch to the thread and wakes it.
    fn hand_over(&mut self) {
        let Some(batch) = self.current.take_if(|batch| !batch.is_empty()) else { return };
        if let Err(batch) = self.channel.full.push(batch) {
            // There are no more batches than places, so this does not happen; the batch is kept rather than lost.
            self.current = Some(batch);
        }
        self.thread.unpark();
    }
}

impl Drop for ShardLog {
    fn drop(&mut self) {
        self.hand_over();
        self.channel.closed.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// The state of the log thread.
struct Writer {
    shared: Arc<Shared>,
    formatter: Formatter,
    output: Output,
    lines: Lines,
    /// Whether the last write ended within a line.
    mid_line: bool,
    last_warning: Option<Instant>,
}

impl Writer {
    fn run(&mut self) {
        loop {
            // Read before the queues, so that batches handed over before the stop are seen.
            let stop = self.shared.stop.load(Ordering::Acquire);
            self.take_change();
            let wrote = self.write_round();
            if !wrote && stop {
                return;
            }
            if !wrote {
                // A batch handed over since then has left a token, which ends this at once.
                std::thread::park();
            }
        }
    }

    /// Makes the changes that were asked for since the last call.
    fn take_change(&mut self) {
        let change = std::mem::take(&mut *lock(&self.shared.change));
        if let Some(output) = change.output {
            self.output = output;
            self.mid_line = false;
        }
        if let Some(style) = change.style {
            self.formatter = Formatter::new(style);
        }
    }

    /// Writes at most one batch of every shard; returns whether there was one.
    fn write_round(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let channels: Vec<_> = {
            let mut channels = lock(&shared.channels);
            channels.retain(|channel| {
                // Read before the queue: no batch comes after it was closed.
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
                // A batch that was handed over after a change is written after it.
                self.take_change();
                self.write_batch(&batch);
                batch.clear();
                // The queue has room for all batches of its shard.
                drop(channel.empty.push(batch));
            }
        }
        wrote
    }

    fn write_batch(&mut self, batch: &RecordBuffer) {
        if self.output.is_none() {
            return;
        }
        for record in batch.records() {
            while !self.formatter.line(&record, &mut self.lines) {
                if self.lines.is_empty() {
                    self.lines.grow();
                } else {
                    self.write_lines();
                }
            }
        }
        self.write_lines();
    }

    /// Writes the collected lines, and counts how many were written and lost.
    fn write_lines(&mut self) {
        let Some(output) = &mut self.output else { return };
        let mut result = Ok(());
        if self.mid_line {
            result = write_all(output, b"\n").1;
            self.mid_line = result.is_err();
        }
        let mut taken = 0;
        if result.is_ok() {
            (taken, result) = write_all(output, self.lines.as_bytes());
        }
        let whole = self.lines.as_bytes().get(..taken).unwrap_or_default();
        if let Some(&last) = whole.last() {
            self.mid_line = last != b'\n';
        }
        let count = self.lines.count();
        match result {
            Ok(()) => drop(self.shared.lines_written.fetch_add(count, Ordering::Relaxed)),
            Err(error) => {
                let ends = memchr::memchr_iter(b'\n', whole).count();
                let written = u64::try_from(ends).unwrap_or(u64::MAX).min(count);
                self.shared.lines_written.fetch_add(written, Ordering::Relaxed);
                let failed = count.saturating_sub(written);
                let failed = self.shared.lines_failed.fetch_add(failed, Ordering::Relaxed) + failed;
                self.warn(&error, failed);
            }
        }
        self.lines.clear();
    }

    fn warn(&mut self, error: &io::Error, lines_failed: u64) {
        let now = Instant::now();
        if self.last_warning.is_none_or(|last| now.duration_since(last) >= WARNING_INTERVAL) {
            self.last_warning = Some(now);
            tracing::warn!(%error, lines_failed, "the access log cannot be written");
        }
    }
}

/// Like `Write::write_all`, but returns how many bytes were taken when it fails.
fn write_all(output: &mut dyn Write, bytes: &[u8]) -> (usize, io::Result<()>) {
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
