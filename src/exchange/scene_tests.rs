//! What becomes of a request's head: an answer, or a plan and what its target is sent.

use super::*;
use crate::challenges::{Challenges, Key, Proof};
use crate::exchange::caller::Origin;
use crate::exchange::doubles::{Shard, Text, file, play, with_head};
use crate::proxy_protocol::{Announced, AnnouncedTls};
use std::rc::Rc;

const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
/// The peer of every test is trusted.
const TRUSTED: &str = "trusted_proxies = [\"192.0.2.0/24\"]";

/// Prepares a request.
fn prepare(shard: &Shard, head: &str) -> (Prepared, Outgoing<Text>, Entry) {
    let (mut out, mut entry) = (Outgoing::default(), Entry::default());
    entry.begin(&shard.local, &shard.caller);
    let prepared = with_head(head, |head| shard.scene().prepare(head, &mut out, &mut entry));
    (prepared, out, entry)
}

/// What a target is sent.
fn sent(shard: &Shard, head: &str) -> Text {
    let (prepared, out, _) = prepare(shard, head);
    assert!(matches!(prepared, Prepared::Forward), "{head:?} was answered");
    out.draft
}

/// What limpet answers by itself: status and word.
fn answered(shard: &Shard, head: &str) -> (u16, &'static str) {
    match prepare(shard, head).0 {
        Prepared::Answer(reply) => (reply.status, reply.code),
        Prepared::Forward | Prepared::Search(_) => panic!("{head:?} was not answered"),
    }
}

fn get(fields: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

#[test]
fn content_beyond_the_limit_is_refused_with_its_head() {
    play(&file("limits.content = \"10B\"", "", 1), async |shard| {
        let post =
            |length: u32| format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(answered(shard, &post(11)), (413, "content_too_large"));
        assert!(sent(shard, &post(10)).has("Content-Length: 10"));
        // How much chunked content is shows only as it comes.
        let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(sent(shard, chunked).has("Transfer-Encoding: chunked"));
    });
}

#[test]
fn a_path_is_matched_and_forwarded_in_its_normal_form() {
    let rule = "[[listener.rule]]\npriority = 1\nwhen.path = [\"/private/*\"]\n\
                respond = { status = 403 }";
    play(&file(rule, "", 1), async |shard| {
        let of = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        for path in ["/private/x", "/a/../private/x", "//private/x", "/%70rivate/x"] {
            assert_eq!(answered(shard, &of(path)).0, 403, "{path}");
        }
        assert!(sent(shard, &of("/b/../a/./c?q=/../d")).has("GET /a/c?q=/../d HTTP/1.1"));
        assert_eq!(answered(shard, &of("/../etc")), (400, "path_above_root"));
        assert_eq!(answered(shard, &of("/%zz")), (400, "path_bad_percent_encoding"));
    });
}

#[test]
fn what_an_authority_asks_for_is_answered_before_any_rule_and_only_where_it_is_there() {
    const PROOF: &str = "GET /.well-known/acme-challenge/known HTTP/1.1\r\nHost: h\r\n\r\n";
    let rule = "[[listener.rule]]\npriority = 1\nwhen.path = [\"/*\"]\nrespond = { status = 403 }";
    play(&file(rule, "", 1), async |shard| {
        assert_eq!(answered(shard, PROOF).0, 403, "no authority is asked");
        let challenges = Challenges::default();
        let key = Key::Token("known".into());
        challenges.insert(&key, &Proof::Content(bytes::Bytes::from_static(b"known.thumb")));
        let prove = |head: &str, entry: &mut Entry| {
            with_head(head, |head| super::prove(&challenges, head, head.target.path, entry))
        };
        let mut entry = Entry::default();
        let Some(Prepared::Answer(reply)) = prove(PROOF, &mut entry) else { panic!("no answer") };
        assert_eq!((reply.status, reply.code), (200, "acme_challenge"));
        let answer = reply.answer(None);
        assert_eq!(
            (&*answer.content_type, &*answer.body),
            ("application/octet-stream", &b"known.thumb"[..])
        );
        for other in [PROOF.replace("/known", "/unknown"), PROOF.replace("GET", "POST"), GET.into()]
        {
            assert!(prove(&other, &mut entry).is_none(), "{other}");
        }
        challenges.set_shared(true);
        let unknown = PROOF.replace("/known", "/unknown");
        assert!(matches!(prove(&unknown, &mut entry), Some(Prepared::Search(_))));
        assert!(prove(&unknown, &mut entry).is_none(), "other nodes are asked once");
    });
}

#[test]
fn a_request_that_may_go_no_further_is_answered_where_it_would_be_forwarded() {
    play(&file("", "", 1), async |shard| {
        let options =
            |count: u32| format!("OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: {count}\r\n\r\n");
        assert_eq!(answered(shard, &options(0)), (204, "max_forwards"));
        assert!(sent(shard, &options(3)).has("Max-Forwards: 2"));
        assert!(sent(shard, &get("Max-Forwards: 0\r\n")).has("Max-Forwards: 0"));
    });
}

#[test]
fn a_group_with_nobody_is_told_of_by_name() {
    let drains = "[[target_group.target]]\naddress = \"10.0.0.9:80\"\nstate = \"draining\"";
    play(&file("", drains, 0), async |shard| {
        let (prepared, _, entry) = prepare(shard, GET);
        assert!(matches!(prepared, Prepared::Answer(reply) if reply.code == "no_target"));
        let group = shard.logged(&entry, |record| record.group.to_owned());
        assert_eq!(group, "app");
    });
}

#[test]
fn a_stranger_is_not_believed_where_the_client_came_from_nor_how() {
    let fields = "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n\
                  X-Forwarded-Port: 8443\r\nX-Request-Id: theirs\r\n";
    play(&file("", "", 1), async |shard| {
        let (_, out, _) = prepare(shard, &get(fields));
        assert!(!out.plan.https && out.plan.has_own_id);
        assert_eq!(out.plan.client, shard.caller.peer().ip);
        assert!(out.draft.has("X-Real-IP: 192.0.2.1\r\n"));
        assert!(out.draft.has("X-Forwarded-Proto: http\r\n"));
        assert!(out.draft.has("X-Forwarded-Port: 8080\r\n") && !out.draft.has("theirs"));
    });
    play(&file(TRUSTED, "", 1), async |shard| {
        let (_, out, _) = prepare(shard, &get(fields));
        assert!(out.plan.https && !out.plan.has_own_id);
        assert_eq!(out.plan.client, Some([198, 51, 100, 7].into()));
        assert!(out.draft.has("X-Real-IP: 198.51.100.7\r\n"));
        assert!(out.draft.has("X-Forwarded-Proto: https\r\n"));
        assert!(out.draft.has("X-Forwarded-Port: 8443\r\n"));
        assert!(out.draft.has("X-Request-Id: theirs\r\n"));
    });
}

#[test]
fn a_hop_that_says_how_and_not_where_means_the_port_of_the_host_or_of_the_protocol() {
    play(&file(TRUSTED, "", 1), async |shard| {
        let front = |host: &str, fields: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
            with_head(&head, |head| {
                let scene = shard.scene();
                let front = scene.front(head);
                (front.https, String::from_utf8(front.port().to_vec()).unwrap())
            })
        };
        let (https, http) = ("X-Forwarded-Proto: https\r\n", "X-Forwarded-Proto: http\r\n");
        assert_eq!(front("h", https), (true, "443".to_owned()));
        assert_eq!(front("h", http), (false, "80".to_owned()));
        assert_eq!(front("h:8443", https), (true, "8443".to_owned()));
        assert_eq!(front("h:8080", https), (true, "443".to_owned()), "never limpet's own");
        assert_eq!(front("h", ""), (false, "8080".to_owned()), "of whom nothing is said");
    });
}

#[test]
fn what_a_proxy_header_announces_goes_before_the_listeners_own() {
    play(&file("", "", 1), async |shard| {
        let announced = Announced {
            source: Some(([203, 0, 113, 5], 50_000).into()),
            destination: Some(([198, 51, 100, 1], 443).into()),
            tls: Some(AnnouncedTls::default()),
        };
        shard.caller.announce(&announced);
        let (_, out, _) = prepare(shard, GET);
        assert!(out.plan.https);
        assert_eq!(out.plan.client, Some([203, 0, 113, 5].into()));
        assert!(out.draft.has("X-Forwarded-Port: 443\r\n"));
    });
}

#[test]
fn the_protocols_that_may_be_upgraded_to_are_passed_on_as_far_as_there_is_room() {
    let asks = |protocols: &str| get(&format!("Connection: upgrade\r\nUpgrade: {protocols}\r\n"));
    play(&file("", "", 1), async |shard| {
        let upgrade = |head: &str| {
            let (_, out, _) = prepare(shard, head);
            String::from_utf8(out.plan.upgrade.to_vec()).unwrap()
        };
        assert_eq!(upgrade(&asks("websocket,chat/2")), "websocket, chat/2");
        assert_eq!(upgrade(&get("Upgrade: websocket\r\n")), "", "no connection option asks for it");
        let long = format!("{0}, {0}, {0}", "x".repeat(60));
        assert_eq!(upgrade(&asks(&long)), format!("{0}, {0}", "x".repeat(60)));
    });
    play(&file("", "upgrades = false", 1), async |shard| {
        let (_, out, _) = prepare(shard, &asks("websocket"));
        assert!(out.plan.upgrade.is_empty() && !out.draft.has("Upgrade:"));
    });
}

#[test]
fn a_client_that_names_no_host_is_given_the_targets_and_another_when_it_fails_over() {
    play(&file("", "", 2), async |shard| {
        let head = "GET / HTTP/1.0\r\n\r\n";
        let (client, mut out, entry) = shard.plan(head);
        let first = out.plan.choice.target;
        assert!(out.plan.names_target);
        let host = |at: usize| format!("Host: 10.0.0.{}:80\r\n", at + 1);
        assert!(out.draft.has(&host(first)));
        let other = Choice { target: 1 - first, ..out.plan.choice };
        shard.scene().choose_again(&client, other, (&mut out, &entry));
        assert_eq!(out.plan.choice, other);
        assert!(out.draft.has(&host(1 - first)));
    });
    play(&file("", "", 2), async |shard| {
        let (client, mut out, entry) = shard.plan(GET);
        out.draft.0.clear();
        let other = Choice { target: 1 - out.plan.choice.target, ..out.plan.choice };
        shard.scene().choose_again(&client, other, (&mut out, &entry));
        assert!(out.draft.0.is_empty(), "what would be the same is not written again");
    });
}

#[test]
fn limpets_own_cookies_do_not_reach_a_target_unless_the_group_says_so() {
    let head = get("Cookie: limpet_app=x; own=y\r\n");
    for (forwards, has) in [(false, false), (true, true)] {
        let settings = format!("stickiness = {{ enabled = true, forward_cookie = {forwards} }}");
        play(&file("", &settings, 1), async |shard| {
            let draft = sent(shard, &head);
            assert_eq!(draft.has("limpet_app"), has);
            assert!(draft.has("own=y"));
        });
    }
}

#[test]
fn a_failure_of_a_shard_that_is_cut_off_is_the_stop() {
    play(&file("", "", 1), async |shard| {
        let mut entry = Entry::default();
        let end = shard.scene().failed(Failure::ResponseTimeout, false, &mut entry);
        assert_eq!((end, entry.status), (End::Refused(Failure::ResponseTimeout), 504));
        shard.local.stop.begin();
        let end = shard.scene().failed(Failure::ResponseTimeout, true, &mut entry);
        assert_eq!(end, End::Aborted(Failure::ResponseTimeout));
        shard.local.stop.now();
        let end = shard.scene().failed(Failure::ResponseTimeout, false, &mut entry);
        assert_eq!((end, entry.status), (End::Refused(Failure::Stopped), 503));
    });
}

#[test]
fn a_unix_peer_is_trusted_where_the_file_says_so_alone() {
    let origin = || {
        let port_text = caller::PortText::new();
        Rc::new(Origin { listener_name: "web".into(), port: 0, port_text })
    };
    for (settings, trusted) in [("", false), ("trusted_proxies = [\"unix\"]", true)] {
        play(&file(settings, "", 1), async |shard| {
            let peer = Caller::new(origin(), Peer::new(None), false);
            let scene = Scene::new((&shard.local, &peer), "unknown", &shard.view, &shard.listener);
            let head = get("X-Forwarded-For: 198.51.100.7\r\n");
            let client = with_head(&head, |head| scene.client(head));
            assert_eq!(client.is_some(), trusted);
        });
    }
}
