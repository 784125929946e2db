//! `events`: recent events, and new ones as they happen.
//!
//! Tested by `tests/ctl`.

use std::process::ExitCode;
use std::time::Duration;

use super::answers::{Event, Events};
use super::client::Ask;
use super::failure::Failure;
use super::session::{Session, print};
use super::table::{Cell, Table, Tone};
use super::words::{moment, plain};

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(500);
/// Most events that are fetched at once while following.
const BATCH: u32 = 1_000;

fn ask(after: u64, count: u32) -> Ask {
    Ask::get(format!("/v1/events?after={after}&count={count}"))
}

pub(super) fn events(session: &Session, follow: bool, count: u32) -> Result<ExitCode, Failure> {
    if follow {
        return self::follow(session, count);
    }
    // Events reach back for days, and are compared with other logs.
    session.show(ask(0, count), |answer: &Events| {
        let mut table = Table::new(&["WHEN", "KIND", "ABOUT", "WHAT"]);
        for event in &answer.events {
            table.row([
                moment(event.unix_ms).into(),
                (&event.kind).into(),
                about(event).into(),
                Cell::toned(&event.text, Tone::of_event(&event.tone)),
            ]);
        }
        table.show(session.style, "no events")
    })
}

/// Prints until the reader is gone. The lines stay on the screen, so they have the time of day.
fn follow(session: &Session, mut count: u32) -> Result<ExitCode, Failure> {
    let mut after = 0;
    loop {
        let answer = session.client.send(ask(after, count))?;
        let Events { events } = answer.read()?;
        let last = events.iter().map(|event| event.number).max();
        let printed = match (last, session.json) {
            (None, _) => true,
            (_, true) => print(&format!("{}\n", answer.text.trim_end())),
            (_, false) => print(&events.iter().map(line).collect::<String>()),
        };
        if !printed {
            return Ok(ExitCode::SUCCESS);
        }
        after = last.map_or(after, |last| last.max(after));
        count = BATCH;
        session.client.pause(EVERY);
    }
}

fn line(event: &Event) -> String {
    let (at, about) = (moment(event.unix_ms), about(event));
    let gap = if about.is_empty() { "" } else { " " };
    plain(&format!("{at} {}{gap}{about}: {}", event.kind, event.text)) + "\n"
}

/// "app", "app/a", or nothing.
fn about(event: &Event) -> String {
    match (&event.group, &event.target) {
        (Some(group), Some(target)) => format!("{group}/{target}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => String::new(),
    }
}
