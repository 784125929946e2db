//! Recent events for people: health changes, ejections, reloads, edits, drains.
//!
//! A bounded ring; the oldest goes first. Each event is a tracing event as well. Tested below.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Events that are kept.
const EVENTS_MAX: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    Health,
    Ejection,
    Drain,
    Reload,
    Edit,
    Warning,
    Start,
}

/// Whether it is good news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    Plain,
    /// A failure has ended.
    Good,
    /// It needs attention.
    Warn,
    /// Something fails.
    Bad,
}

/// What kind of thing happened, and whether it is good news.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    kind: EventKind,
    tone: Tone,
}

impl EventKind {
    pub fn toned(self, tone: Tone) -> Told {
        Told { kind: self, tone }
    }
}

impl From<EventKind> for Told {
    fn from(kind: EventKind) -> Told {
        let is_warning = kind == EventKind::Warning;
        kind.toned(if is_warning { Tone::Warn } else { Tone::Plain })
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Grows by one; never used again in the life of a process.
    pub number: u64,
    pub unix_ms: u64,
    pub kind: EventKind,
    pub tone: Tone,
    pub group: Option<String>,
    pub target: Option<String>,
    /// One sentence.
    pub text: String,
}

/// The latest events.
#[derive(Debug, Default)]
pub struct Events {
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    events: VecDeque<Event>,
}

impl Events {
    /// Notes and logs an event.
    pub fn push(
        &self,
        told: impl Into<Told>,
        group: Option<&str>,
        target: Option<&str>,
        text: String,
    ) {
        let Told { kind, tone } = told.into();
        match tone {
            Tone::Warn | Tone::Bad => tracing::warn!(group, target, "{text}"),
            Tone::Plain | Tone::Good => tracing::info!(group, target, "{text}"),
        }
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.last = ring.last.saturating_add(1);
        let event = Event {
            number: ring.last,
            unix_ms: unix_ms(),
            kind,
            tone,
            group: group.map(str::to_owned),
            target: target.map(str::to_owned),
            text,
        };
        if ring.events.len() == EVENTS_MAX {
            ring.events.pop_front();
        }
        ring.events.push_back(event);
    }

    /// At most `count` events with a number above `after`, the newest ones, oldest first.
    pub fn after(&self, after: u64, count: usize) -> Vec<Event> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = ring.events.iter().filter(|event| event.number > after);
        let skip = newer.clone().count().saturating_sub(count);
        newer.skip(skip).cloned().collect()
    }
}

/// Milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::control::events::*;

    #[test]
    fn good_news_and_bad_are_told_apart() {
        let events = Events::default();
        events.push(EventKind::Health.toned(Tone::Bad), None, None, "fails".into());
        events.push(EventKind::Health.toned(Tone::Good), None, None, "is back".into());
        events.push(EventKind::Warning, None, None, "look".into());
        events.push(EventKind::Edit, None, None, "done".into());
        let tones: Vec<Tone> = events.after(0, 9).iter().map(|event| event.tone).collect();
        assert_eq!(tones, [Tone::Bad, Tone::Good, Tone::Warn, Tone::Plain]);
    }

    #[test]
    fn the_newest_events_are_kept_in_order() {
        let events = Events::default();
        for number in 0..EVENTS_MAX + 5 {
            events.push(EventKind::Health, Some("app"), None, number.to_string());
        }
        let all = events.after(0, usize::MAX);
        assert_eq!(all.len(), EVENTS_MAX);
        assert_eq!((all[0].number, &*all[0].text), (6, "5"));
        let last = events.after(EVENTS_MAX as u64 + 1, 2);
        assert_eq!(last.iter().map(|event| event.number).collect::<Vec<_>>(), [1004, 1005]);
    }
}
