//! The stream of server-sent events of one session.
//!
//! Owns: which events there are and when. Event `n` is due `n - 1` seconds after the session began,
//! so that a stream which is resumed knows what was missed without keeping it. Never: a stream that
//! outlives its session or its listener by more than a second. Tested below and through `tests.rs`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::channel::Channel;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use super::super::instance::Shared;

const INTERVAL: Duration = Duration::from_secs(1);

/// The events of the session `id` as a response's content: those after `last_seen`, the missed ones
/// at once; for a listener that has seen none, the latest and all that follow.
pub fn stream(shared: Arc<Shared>, id: String, created: Timestamp, last_seen: Option<u64>) -> Body {
    let (mut sender, content) = Channel::<Bytes, Infallible>::new(1);
    tokio::spawn(async move {
        let mut next = first(created, Timestamp::now(), last_seen);
        loop {
            sleep(wait(created, Timestamp::now(), next)).await;
            let is_known = shared.table(|sessions| sessions.get(&id, Timestamp::now()).is_some());
            if !is_known || sender.send_data(event(shared.id, next)).await.is_err() {
                return;
            }
            next += 1;
        }
    });
    Body::new(content)
}

/// Number of the first event that is sent. A number that nobody has been given counts as none.
fn first(created: Timestamp, now: Timestamp, last_seen: Option<u64>) -> u64 {
    let latest = age(created, now).as_secs() + 1;
    last_seen.filter(|number| *number <= latest).map_or(latest, |number| number + 1)
}

/// How long until event `number` is due.
fn wait(created: Timestamp, now: Timestamp, number: u64) -> Duration {
    let due = INTERVAL * u32::try_from(number - 1).unwrap_or(u32::MAX);
    due.saturating_sub(age(created, now))
}

fn age(created: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(created)).unwrap_or_default()
}

fn event(instance: &str, number: u64) -> Bytes {
    let message = json!({
        "jsonrpc": "2.0",
        "method": "notifications/message",
        "params": { "level": "info", "data": format!("instance {instance}: event {number} of this session") },
    });
    Bytes::from(format!("id: {number}\ndata: {message}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: Timestamp = Timestamp::UNIX_EPOCH;

    fn after(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn a_new_stream_begins_with_the_latest_event_and_a_resumed_one_behind_the_last_seen() {
        assert_eq!(first(CREATED, after(0), None), 1);
        assert_eq!(first(CREATED, after(4_500), None), 5);
        assert_eq!(first(CREATED, after(4_500), Some(2)), 3);
        assert_eq!(first(CREATED, after(4_500), Some(5)), 6);
        assert_eq!(first(CREATED, after(4_500), Some(6)), 5);
        assert_eq!(first(CREATED, after(4_500), Some(u64::MAX)), 5);
    }

    #[test]
    fn an_event_that_is_due_is_sent_at_once_and_a_later_one_at_its_second() {
        assert_eq!(wait(CREATED, after(4_500), 3), Duration::ZERO);
        assert_eq!(wait(CREATED, after(4_500), 5), Duration::ZERO);
        assert_eq!(wait(CREATED, after(4_500), 6), Duration::from_millis(500));
    }
}
