//! The log's record of an exchange, by how it went and how it ended.

use super::*;
use crate::exchange::doubles::{Shard, file, play};
use crate::http::refusal::Refusal;
use crate::telemetry::record::Facts;

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: h\r\nUser-Agent: ua\r\n\r\n";

fn facts(shard: &Shard, entry: &Entry) -> Facts {
    shard.logged(entry, |record| record.facts)
}

fn code(shard: &Shard, entry: &Entry) -> String {
    shard.logged(entry, |record| record.code.to_owned())
}

/// An exchange whose target's response is being sent.
fn answering(shard: &Shard) -> Entry {
    let (_, _, mut entry) = shard.plan(GET);
    entry.target(0, 0);
    entry.enter(Phase::ResponseContent);
    (entry.status, entry.target_status) = (200, 200);
    entry
}

#[test]
fn a_record_names_the_request_and_everything_that_it_met() {
    play(&file("", "", 1), async |shard| {
        let mut entry = answering(shard);
        entry.settle(&Ok(()), false);
        shard.logged(&entry, |record| {
            assert_eq!((record.listener, record.group, record.target), ("web", "app", "a"));
            assert_eq!((record.method, record.host), (&b"GET"[..], &b"h"[..]));
            assert_eq!((record.path, record.user_agent), (&b"/a?b"[..], &b"ua"[..]));
            assert_eq!((record.request_id.len(), record.code), (32, ""));
            assert_eq!(record.facts.action, Some(Acted::Forward));
            assert_eq!(record.facts.target_address, Some(([10, 0, 0, 1], 80).into()));
            assert_eq!((record.facts.client_port, record.facts.peer), (40_000, None));
            assert_eq!(record.facts.ended, Ended::NORMAL);
        });
    });
}

#[test]
fn a_client_that_others_speak_for_has_no_port_and_a_peer_beside_it() {
    let trusted = "trusted_proxies = [\"192.0.2.0/24\"]";
    play(&file(trusted, "", 1), async |shard| {
        let head = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n";
        let (_, _, entry) = shard.plan(head);
        let facts = facts(shard, &entry);
        assert_eq!(facts.client, Some([198, 51, 100, 7].into()));
        assert_eq!((facts.client_port, facts.peer), (0, shard.caller.peer().ip));
    });
}

#[test]
fn a_last_send_that_fails_is_the_clients_unless_something_has_ended_it_before() {
    let gone = || Err(io::ErrorKind::BrokenPipe.into());
    play(&file("", "", 1), async |shard| {
        for (result, expired, cause, word) in [
            (Ok(()), false, Cause::None, ""),
            (gone(), false, Cause::Closed, "client_gone"),
            (gone(), true, Cause::Timeout, "client_send_timeout"),
        ] {
            let mut entry = answering(shard);
            entry.settle(&result, expired);
            let by = if cause == Cause::None { By::Nobody } else { By::Client };
            let ended = facts(shard, &entry).ended;
            assert_eq!((ended.by, ended.cause), (by, cause));
            assert_eq!(code(shard, &entry), word);
        }
        let mut entry = answering(shard);
        entry.fail(Failure::TargetContentShort);
        entry.settle(&gone(), false);
        assert_eq!(code(shard, &entry), "target_content_short");
    });
}

#[test]
fn a_response_that_was_not_taken_took_until_now() {
    play(&file("", "", 1), async |shard| {
        let mut entry = answering(shard);
        entry.last_byte_now(&shard.local.clock);
        shard.at(500).await;
        assert_eq!(facts(shard, &entry).timings.total_us, 0);
        entry.settle(&Err(io::ErrorKind::BrokenPipe.into()), false);
        assert_eq!(facts(shard, &entry).timings.total_us, 500_000);
    });
}

#[test]
fn who_is_refused_has_had_no_first_byte_and_the_status_that_follows() {
    play(&file("", "", 1), async |shard| {
        let (_, _, mut entry) = shard.plan(GET);
        entry.enter(Phase::ResponseHead);
        entry.first_byte_now(&shard.local.clock);
        entry.refuse(Failure::ResponseTimeout);
        let facts = facts(shard, &entry);
        assert_eq!((facts.status, facts.timings.first_byte_us), (504, None));
        assert_eq!(facts.ended, Ended::new(By::Target, Phase::ResponseHead, Cause::Timeout));
        // The answer that tells the client why changes none of that.
        entry.answered(&Reply::failure(Failure::ResponseTimeout));
        assert_eq!(code(shard, &entry), "response_timeout");
        assert_eq!(shard.logged(&entry, |record| record.facts.ended), facts.ended);
    });
}

#[test]
fn the_first_byte_is_that_of_the_first_response_that_counts() {
    play(&file("", "", 1), async |shard| {
        let (_, _, mut entry) = shard.plan(GET);
        let first_us = |entry: &Entry| facts(shard, entry).timings.first_byte_us;
        shard.at(10).await;
        entry.first_byte_now(&shard.local.clock);
        entry.no_first_byte();
        shard.at(30).await;
        entry.first_byte_now(&shard.local.clock);
        shard.at(50).await;
        entry.first_byte_now(&shard.local.clock);
        assert_eq!(first_us(&entry), Some(30_000));
    });
}

#[test]
fn a_head_that_was_never_understood_took_until_it_was_given_up() {
    play(&file("", "", 1), async |shard| {
        let mut entry = Entry::default();
        entry.begin(&shard.local, &shard.caller);
        assert!(entry.is_blank(), "nothing of it has come");
        shard.at(70).await;
        entry.refused(5);
        entry.head_ends_now(&shard.local.clock);
        entry.answered(&Reply::refusal(Refusal::HeadTimeout));
        let facts = facts(shard, &entry);
        assert!(!entry.is_blank());
        assert_eq!((facts.timings.request_us, facts.bytes_in), (70_000, 5));
        assert_eq!((facts.version, facts.status, facts.rule_priority), (None, 408, None));
        let (_, _, mut entry) = shard.plan(GET);
        shard.at(90).await;
        entry.head_ends_now(&shard.local.clock);
        assert_eq!(facts_of(shard, &entry), 0, "one that was understood has ended before");
    });
}

fn facts_of(shard: &Shard, entry: &Entry) -> u64 {
    facts(shard, entry).timings.request_us
}

#[test]
fn an_entry_that_begins_anew_knows_nothing_of_the_request_before() {
    play(&file("", "", 1), async |shard| {
        let mut entry = answering(shard);
        entry.refuse(Failure::NoTarget);
        entry.begin(&shard.local, &shard.caller);
        assert!(entry.is_blank());
        shard.logged(&entry, |record| {
            assert_eq!((record.code, record.target, record.rule), ("", "", ""));
            assert_eq!((record.path, record.request_id), (&b""[..], &b""[..]));
            assert_eq!((record.facts.status, record.facts.bytes_in), (0, 0));
        });
    });
}

#[test]
fn an_id_is_thirty_two_digits() {
    let mut entry = Entry::default();
    let bytes = std::array::from_fn(|at| (at * 0x11) as u8);
    entry.new_request_id(bytes);
    assert_eq!(entry.request_id(), b"00112233445566778899aabbccddeeff");
}
