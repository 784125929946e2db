//! The access log from the shards to its output.
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::access_log::AccessLog;
use super::record::{RECORD_BYTES_MAX, Record};
use super::record_tests::full;
use crate::snapshot::{AccessLogOptions, LogFormat, LogOutput, LogQuery};

/// Keeps what is written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("lock").clone()).expect("UTF-8")
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits for a permission before each write.
struct Gated {
    kept: Kept,
    began: Sender<()>,
    gate: Receiver<()>,
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.began.send(()).ok();
        self.gate.recv().ok();
        self.kept.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn start(output: impl Write + Send + 'static) -> AccessLog {
    AccessLog::start_on(output, LogFormat::Json, 0).expect("thread")
}

#[test]
fn a_flushed_line_is_written_while_the_log_runs() {
    let kept = Kept::default();
    let log = start(kept.clone());
    let mut shard = log.shard_writer();
    assert!(shard.enabled());
    assert!(shard.record(&full()));
    shard.flush();
    eventually("one line", || log.lines_written() == 1);
    shard.flush();
    assert!(kept.text().starts_with("{\"time\"") && kept.text().ends_with("}\n"));
}

#[test]
fn full_batches_go_without_a_flush() {
    let kept = Kept::default();
    let log = start(kept.clone());
    let mut shard = log.shard_writer();
    let mut recorded = 0;
    // Nothing flushes: that lines are written at all shows that full batches went.
    while log.lines_written() == 0 {
        recorded += u64::from(shard.record(&full()));
    }
    drop(shard);
    log.shutdown();
    assert_eq!(recorded, log.lines_written());
}

#[test]
fn shutdown_writes_what_every_shard_handed_over() {
    let kept = Kept::default();
    let log = start(kept.clone());
    std::thread::scope(|scope| {
        for shard in 0..4 {
            let mut writer = log.shard_writer();
            scope.spawn(move || {
                for _ in 0..1000 {
                    let rule = format!("shard-{shard}");
                    let record = Record { rule: &rule, ..full() };
                    while !writer.record(&record) {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    log.shutdown();
    let text = kept.text();
    assert_eq!(text.lines().count(), 4000);
    assert_eq!(log.lines_written(), 4000);
    for shard in 0..4 {
        let wanted = format!("\"rule\":\"shard-{shard}\"");
        assert_eq!(text.lines().filter(|line| line.contains(&wanted)).count(), 1000);
    }
    assert!(text.lines().all(|line| line.starts_with('{') && line.ends_with('}')));
}

#[test]
fn records_without_a_free_batch_are_dropped_and_counted_and_the_shard_never_waits() {
    let (began, begun) = channel();
    let (permit, gate) = channel();
    let kept = Kept::default();
    let log = start(Gated { kept: kept.clone(), began, gate });
    let mut shard = log.shard_writer();
    let (mut noted, mut dropped) = (0, 0);
    while dropped < 100 {
        if shard.record(&full()) {
            noted += 1;
        } else {
            dropped += 1;
        }
    }
    begun.recv().expect("the thread is at its first write");
    assert_eq!((shard.lines_dropped(), log.lines_dropped()), (100, 100));
    drop(permit);
    // Once a batch has come back, records are taken again.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !shard.record(&full()) {
        assert!(Instant::now() < deadline, "room again");
        dropped += 1;
    }
    drop(shard);
    log.shutdown();
    assert_eq!(kept.text().lines().count(), noted + 1);
    assert_eq!(log.lines_dropped(), dropped, "kept after the shard has gone");
}

/// Fails on the writes of its script, each after having taken some bytes.
struct Failing {
    kept: Kept,
    script: Vec<Option<usize>>,
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.script.pop() {
            None | Some(None) => self.kept.write(bytes),
            Some(Some(0)) => Err(io::ErrorKind::StorageFull.into()),
            Some(Some(take)) => {
                self.script.push(Some(0));
                self.kept.write(&bytes[..take])
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failed_write_loses_its_lines_and_the_next_batch_begins_a_new_line() {
    let kept = Kept::default();
    let log = start(Failing { kept: kept.clone(), script: vec![None, Some(10), None, Some(0)] });
    let mut shard = log.shard_writer();
    for (round, (written, failed)) in [(0, 1), (1, 1), (1, 2), (2, 2)].into_iter().enumerate() {
        assert!(shard.record(&full()), "{round}");
        shard.flush();
        eventually("a verdict on the line", || {
            (log.lines_written(), log.lines_failed()) == (written, failed)
        });
    }
    drop(shard);
    log.shutdown();
    let text = kept.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1], &lines[0][..10]);
    assert_eq!(lines[2], lines[0]);
}

#[test]
fn an_output_that_is_off_takes_records_for_nothing() {
    let options = AccessLogOptions {
        output: LogOutput::Off,
        format: LogFormat::Json,
        template: None,
        sample: 1,
        query: LogQuery::Keep,
        buffer_bytes: 1 << 20,
    };
    let log = AccessLog::start(&options).expect("nothing to start");
    let mut shard = log.shard_writer();
    assert!(!shard.enabled());
    assert!(shard.record(&full()));
    shard.flush();
    assert_eq!((log.lines_dropped(), log.lines_written(), shard.lines_dropped()), (0, 0, 0));
    log.shutdown();
}

#[test]
fn a_file_is_appended_to_and_an_impossible_one_named() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("access.log");
    for _ in 0..2 {
        let options = AccessLogOptions {
            output: LogOutput::File(path.clone()),
            format: LogFormat::Combined,
            template: None,
            sample: 1,
            query: LogQuery::Keep,
            buffer_bytes: 8 * RECORD_BYTES_MAX,
        };
        let log = AccessLog::start(&options).expect("log");
        // The shard is dropped before the log, which drains.
        log.shard_writer().record(&full());
    }
    let text = std::fs::read_to_string(&path).expect("file");
    assert_eq!(text.lines().filter(|line| line.starts_with("203.0.113.9 - - [")).count(), 2);
    let options = AccessLogOptions {
        output: LogOutput::File(folder.path().join("none/access.log")),
        format: LogFormat::Json,
        template: None,
        sample: 1,
        query: LogQuery::Keep,
        buffer_bytes: 0,
    };
    let error = AccessLog::start(&options).expect_err("no such folder");
    assert!(error.to_string().contains("none/access.log"), "{error}");
}
