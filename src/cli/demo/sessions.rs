//! The sessions that one instance holds in its memory, and nowhere else: that is the point of the demo.
//!
//! Owns: the table, its bound and what a name may be. Never: a clock or a socket; time and ids are
//! arguments. Tested below without either.

use std::collections::HashMap;

use jiff::Timestamp;

/// Most sessions one instance remembers; the one that was quiet longest makes room for a new one.
pub const SESSION_COUNT_MAX: usize = 1_000;

/// Most characters of a visitor's name; the rest is cut off.
pub const NAME_CHARACTERS_MAX: usize = 40;

/// What an instance knows about one visitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub name: String,
    pub created: Timestamp,
    /// Requests seen with this session, the one that created it included.
    pub visits: u64,
    last_seen: Timestamp,
}

/// A bounded table of sessions by id.
#[derive(Debug)]
pub struct Sessions {
    by_id: HashMap<String, Session>,
    count_max: usize,
}

impl Sessions {
    pub fn new(count_max: usize) -> Sessions {
        Sessions { by_id: HashMap::new(), count_max }
    }

    /// Creates a session under `id`, which must be random and new.
    pub fn create(&mut self, id: String, name: String, now: Timestamp) -> Session {
        if self.by_id.len() >= self.count_max {
            self.forget_quietest();
        }
        let session = Session { name, created: now, visits: 1, last_seen: now };
        self.by_id.insert(id, session.clone());
        session
    }

    /// Counts a visit of the session `id` and returns it; `None` when this instance does not know it.
    pub fn visit(&mut self, id: &str, now: Timestamp) -> Option<Session> {
        let session = self.by_id.get_mut(id)?;
        session.visits += 1;
        session.last_seen = now;
        Some(session.clone())
    }

    /// Returns the session `id` without counting a visit; it has been heard of all the same.
    pub fn get(&mut self, id: &str, now: Timestamp) -> Option<&Session> {
        let session = self.by_id.get_mut(id)?;
        session.last_seen = now;
        Some(session)
    }

    /// Ends the session `id`, if it is known.
    pub fn end(&mut self, id: &str) {
        self.by_id.remove(id);
    }

    fn forget_quietest(&mut self) {
        let quietest = self.by_id.iter().min_by_key(|(_, session)| session.last_seen);
        if let Some(id) = quietest.map(|(id, _)| id.clone()) {
            self.by_id.remove(&id);
        }
    }
}

/// A name as it is kept: without control characters and outer white space, at most
/// [`NAME_CHARACTERS_MAX`] characters; `None` when nothing is left.
pub fn clean_name(given: &str) -> Option<String> {
    let printable: String = given.chars().filter(|c| !c.is_control()).collect();
    let kept: String = printable.trim().chars().take(NAME_CHARACTERS_MAX).collect();
    let kept = kept.trim_end();
    if kept.is_empty() { None } else { Some(kept.to_owned()) }
}

#[cfg(test)]
mod tests {
    use crate::cli::demo::sessions::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_session_counts_its_visits_and_keeps_its_creation_time() {
        let mut sessions = Sessions::new(10);
        let created = sessions.create("one".into(), "Ada".into(), at(100));
        assert_eq!((created.visits, created.created), (1, at(100)));
        let seen = sessions.visit("one", at(160)).unwrap();
        assert_eq!((seen.name.as_str(), seen.visits, seen.created), ("Ada", 2, at(100)));
    }

    #[test]
    fn an_unknown_or_ended_session_is_not_greeted() {
        let mut sessions = Sessions::new(10);
        assert_eq!(sessions.visit("one", at(1)), None);
        sessions.create("one".into(), "Ada".into(), at(1));
        sessions.end("one");
        assert_eq!(sessions.visit("one", at(2)), None);
    }

    #[test]
    fn a_full_table_forgets_the_session_that_was_quiet_longest() {
        let mut sessions = Sessions::new(2);
        sessions.create("first".into(), "Ada".into(), at(1));
        sessions.create("second".into(), "Grace".into(), at(2));
        assert_eq!(sessions.get("first", at(3)).map(|session| session.visits), Some(1));
        sessions.create("third".into(), "Edsger".into(), at(4));
        assert!(sessions.visit("first", at(5)).is_some());
        assert!(sessions.visit("second", at(5)).is_none());
        assert!(sessions.visit("third", at(5)).is_some());
        assert_eq!(sessions.by_id.len(), 2);
    }

    #[test]
    fn a_name_loses_control_characters_and_outer_space_and_is_bounded() {
        assert_eq!(clean_name("  Ada\r\nLovelace\u{7f} ").as_deref(), Some("AdaLovelace"));
        assert_eq!(clean_name(" \t\n "), None);
        assert_eq!(clean_name(&"ä".repeat(100)).unwrap().chars().count(), NAME_CHARACTERS_MAX);
    }
}
