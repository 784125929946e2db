//! The status and content of limpet's own answers, and whether the connection goes on after them.

use super::*;
use crate::exchange::doubles::{file, play, with_head};
use crate::telemetry::ended::Cause;

/// Answers a request that has come as `received`, whole or in part, with its head first.
fn to(received: &str, mut reply: Reply) -> Reply {
    let end = received.find("\r\n\r\n").expect("a head") + 4;
    with_head(&received[..end], |head| reply.of(head, received.as_bytes()));
    reply
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
const CLOSES: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const HEAD10: &str = "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";

#[test]
fn a_connection_goes_on_when_its_client_wants_it_and_all_of_the_request_has_come() {
    let whole = format!("{POST}abc");
    let beyond = format!("{POST}abcGET");
    for (received, bytes, keep) in [
        (GET, Some(GET.len()), true),
        (CLOSES, Some(CLOSES.len()), false),
        (HEAD10, Some(HEAD10.len()), true),
        (POST, None, false),
        (&whole, Some(whole.len()), true),
        (&beyond, Some(whole.len()), true),
        (CHUNKED, None, false),
    ] {
        let reply = to(received, Reply::no_more_forwards());
        assert_eq!((reply.request_bytes, reply.keep), (bytes, keep), "{received:?}");
    }
}

#[test]
fn who_was_refused_is_not_listened_to_any_further() {
    for (reply, keep) in [
        (Reply::failure(Failure::ContentTooLarge), false),
        (Reply::bad_path(PathFault::AboveRoot), false),
        (Reply::failure(Failure::NoTarget), true),
        (Reply::too_costly(), false),
    ] {
        let status = reply.status;
        assert_eq!(to(GET, reply).keep, keep, "{status}");
    }
}

#[test]
fn a_400_that_the_file_asks_for_refuses_nothing() {
    let answer = answers::standard(400);
    let reply = to(GET, Reply::fixed(&Respond { status: 400, answer }));
    assert!(reply.keep);
    assert_eq!((reply.code, reply.ended()), ("", Ended::new(By::Limpet, Phase::Done, Cause::Rule)));
}

#[test]
fn an_answer_knows_the_method_and_the_version_of_its_request() {
    let facts = |reply: &Reply| (reply.head_only, reply.http10);
    assert_eq!(facts(&to(HEAD10, Reply::no_more_forwards())), (true, true));
    assert_eq!(facts(&to(GET, Reply::no_more_forwards())), (false, false));
    let after =
        |method, version, bytes| Reply::failure(Failure::NoTarget).after(method, version, bytes);
    let reply = after(Method::Head, Version::Http10, Some(7));
    assert_eq!((facts(&reply), reply.request_bytes, reply.keep), ((true, true), Some(7), true));
    let reply = after(Method::Get, Version::Http11, None);
    assert_eq!((facts(&reply), reply.request_bytes, reply.keep), ((false, false), None, false));
}

#[test]
fn every_refusal_of_a_head_is_the_clients_and_says_of_what_kind() {
    for &refusal in Refusal::ALL {
        let reply = Reply::refusal(refusal);
        let cause = match refusal {
            Refusal::HeadTimeout => Cause::Timeout,
            Refusal::RequestLineTooLong
            | Refusal::FieldLineTooLong
            | Refusal::HeadTooLong
            | Refusal::TooManyFields => Cause::Limit,
            _ => Cause::Invalid,
        };
        assert_eq!(reply.ended(), Ended::new(By::Client, Phase::RequestHead, cause), "{refusal:?}");
        assert_eq!((reply.status, reply.code), (refusal.status(), refusal.code()));
        assert!(!reply.keep && reply.request_bytes.is_none());
        let names_methods = reply.extra == ALLOW;
        assert_eq!(names_methods, reply.status == 405, "{refusal:?}");
    }
}

#[test]
fn an_answer_says_what_the_file_gives_for_it_or_its_status_or_the_standard() {
    let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
    let settings = "answers.503 = { body = \"Back soon\" }";
    play(&file(settings, "", 1), async |shard| {
        let said = |reply: &Reply| text(&reply.answer(Some(&shard.listener)).body);
        let failed = Reply::failure(Failure::NoTarget);
        assert_eq!(said(&failed), "Back soon");
        assert_eq!(text(&failed.answer(None).body), "503 Service Unavailable\n");
        assert_eq!(said(&Reply::failure(Failure::ConnectRefused)), "502 Bad Gateway\n");
        let mut answer = answers::standard(503);
        answer.body = bytes::Bytes::from_static(b"of the rule");
        assert_eq!(said(&Reply::fixed(&Respond { status: 503, answer })), "of the rule");
    });
}

#[test]
fn only_a_redirect_leads_anywhere() {
    for reply in [Reply::refusal(Refusal::MethodNotAllowed), Reply::too_many_connections()] {
        assert_eq!(reply.location(), b"");
    }
    let rule = "[[listener.rule]]\npriority = 1\nwhen.path = [\"/old\"]\n\
                redirect = { status = 308, to = \"https://#{host}:8443/new?#{query}\" }";
    play(&file(rule, "", 1), async |shard| {
        let action = &shard.listener.rules.rules()[0].action;
        let crate::routing::actions::Action::Redirect(redirect) = action else { panic!("none") };
        let parts = RedirectParts {
            protocol: b"http",
            host: b"h",
            port: b"80",
            path: b"/old",
            query: Some(b"a=b"),
        };
        let mut reply = Reply::redirect(redirect, &parts);
        reply.extra.extend_from_slice(b"Date: now\r\n");
        assert_eq!((reply.status, reply.location()), (308, &b"https://h:8443/new?a=b"[..]));
    });
}
