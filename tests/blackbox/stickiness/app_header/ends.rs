//! Sessions that end, that were there before, and ids that cannot be sealed.

use super::*;

fn delete(limpet: &Limpet, path: &str, value: &str) -> Response {
    let mut client = limpet.client();
    client.send(format!("DELETE {path} HTTP/1.1\r\nHost: a\r\n{FIELD}: {value}\r\n\r\n"));
    client.response_to("DELETE")
}

#[test]
fn delete_ends_a_session_where_the_target_agrees() {
    let targets = ["a", "b"].map(|id| {
        Target::answering(move |request| {
            let lines = application(request);
            let response = crate::support::target::echo_response(id, request, &lines);
            match request.target.as_str() {
                "/kept" => b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n".to_vec(),
                _ => response,
            }
        })
    });
    let limpet = sticky(&targets).with_admin().start();
    let sessions = || limpet.admin().get("/v1/groups/app")["sessions"].as_u64();
    let (_, value) = begin(&limpet, "abc");
    assert_eq!(sessions(), Some(0), "it has not come back yet");
    visit(&limpet, "/page", &value);
    assert_eq!(sessions(), Some(1));
    assert_eq!(delete(&limpet, "/kept", &value).status, 405);
    assert_eq!(sessions(), Some(1), "the target keeps it");
    assert_eq!(delete(&limpet, "/page", &value).status, 200);
    assert_eq!(sessions(), Some(0));
}

/// Stickiness is turned on under the eyes of clients that have sessions: whoever happens to be answered with success
/// stays there.
#[test]
fn a_session_from_before_is_kept_once_its_target_has_answered_for_it() {
    let targets = targets::<3>();
    let limpet = sticky(&targets).start();
    let echo = visit(&limpet, "/echo", "from-before");
    let value = value(&echo);
    assert!(value.starts_with("from-before."), "{value}");
    assert_eq!(spread(&limpet, &value), HashSet::from([echo.target()]));
}

#[test]
fn a_target_that_does_not_know_the_session_keeps_nobody() {
    let answer = |request: &Request| {
        let id = request.fields.one(FIELD).unwrap_or_default();
        format!("HTTP/1.1 404 No\r\n{FIELD}: {id}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    };
    let targets = [Target::answering(answer), Target::answering(answer)];
    let limpet = sticky(&targets).start();
    assert_eq!(value(&visit(&limpet, "/", "unknown")), "unknown");
}

#[test]
fn what_cannot_be_sealed_passes_untouched_and_is_counted() {
    let unfit = ["a b".to_owned(), "x".repeat(1025), "\u{e9}".to_owned(), String::new()];
    let ids = unfit.clone();
    let answer = move |request: &Request| {
        let id = request.target.trim_start_matches('/');
        let lines = match id.parse::<usize>() {
            Ok(at) => format!("{FIELD}: {}\r\n", ids.get(at).map_or("", |id| id.as_str())),
            Err(_) => format!("{FIELD}: one\r\n{FIELD}: two\r\n"),
        };
        format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n").into_bytes()
    };
    let targets = [Target::answering(answer)];
    let limpet = sticky(&targets).with_admin().start();
    for (at, id) in unfit.iter().enumerate() {
        let latin1: String = id.bytes().map(char::from).collect();
        assert_eq!(value(&limpet.get(&format!("/{at}"))), latin1);
    }
    assert_eq!(limpet.get("/twice").fields.all(FIELD), ["one", "two"]);
    let (_, text) = limpet.admin().ask("GET", "/metrics", "", "");
    let line = "limpet_group_unsealed_session_ids_total{group=\"app\"} 5";
    assert!(text.contains(line), "{text}");
}

#[test]
fn trailers_are_no_session_ids() {
    let answer = |_: &Request| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Mcp-Session-Id\r\n";
        format!("{head}\r\n1\r\nx\r\n0\r\n{FIELD}: abc\r\n\r\n").into_bytes()
    };
    let targets = [Target::answering(answer)];
    let limpet = sticky(&targets).start();
    let response = limpet.client().get_with("/", "TE: trailers\r\nConnection: TE\r\n");
    assert_eq!(response.trailers.one(FIELD), Some("abc"), "{}", response.head);
}

#[test]
fn a_new_session_on_a_bound_request_gets_a_seal_of_its_own() {
    let targets = targets::<3>();
    let limpet = sticky(&targets).start();
    let (kept_by, value) = begin(&limpet, "one");
    let second = visit(&limpet, "/begin/two", &value);
    assert_eq!(second.target(), kept_by);
    let other = super::value(&second);
    assert!(other.starts_with("two."), "{other}");
    assert_eq!(spread(&limpet, &other), HashSet::from([kept_by]));
}

#[test]
fn stickiness_that_is_turned_off_still_shows_targets_their_own_ids() {
    let targets = targets::<3>();
    let limpet = sticky(&targets).with_admin().start();
    let (_, value) = begin(&limpet, "abc");
    limpet.admin().change("PATCH", "/v1/groups/app/stickiness", r#"{"set":{"enabled":false}}"#);
    let seen: HashSet<String> = (0..6)
        .map(|_| {
            let echo = visit(&limpet, "/echo", &value);
            assert_eq!(super::value(&echo), value, "the client keeps what it has");
            assert_eq!(echo.echo().fields.one(FIELD), Some("abc"));
            echo.target()
        })
        .collect();
    assert_eq!(seen.len(), 3);
    let (_, plain) = begin(&limpet, "plain");
    assert_eq!(plain, "plain", "nobody is sealed any more");
    limpet.admin().change("PATCH", "/v1/groups/app/stickiness", r#"{"set":{"enabled":true}}"#);
    assert_eq!(spread(&limpet, &value).len(), 1, "and everybody is kept again");
}
