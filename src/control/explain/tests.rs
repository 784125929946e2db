use std::sync::Arc;

use crate::control::config;
use crate::control::explain::*;
use crate::control::runtime::Control;
use crate::group::state::Health;
use crate::stickiness::cookie::{Codec, Plain, Scope};
use crate::stickiness::keyring::KeyRing;
use crate::stickiness::seal::SealCodec;
use crate::stickiness::stable_key::stable_key;

const NOW_S: u64 = 1_800_000_000;

const FILE: &str = r##"
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    forward = "app"
    [[listener.rule]]
    name = "split"
    priority = 1
    when.path = ["/split"]
    forward = { groups = [{ group = "app" }, { group = "plain" }], sticky.enabled = true }
    [[listener.rule]]
    name = "plain"
    priority = 2
    when.path = ["/plain"]
    forward = "plain"
    [[listener.rule]]
    name = "moved"
    priority = 3
    when.path = ["/moved"]
    redirect.to = "https://new.example/"
    [[listener.rule]]
    name = "secured"
    priority = 4
    when.path = ["/secured"]
    redirect.to = "https://#{host}:#{port}/"
    [[listener.rule]]
    name = "canonical"
    priority = 6
    when.path = ["/canonical"]
    redirect.to = "#{protocol}://www.example/"
    [[target_group]]
    name = "app"
    stickiness.enabled = true
    connection_limit = 2
    target = [
        { id = "a", address = "127.0.0.1:1" },
        { id = "b", address = "127.0.0.1:2" },
        { id = "c", address = "127.0.0.1:3", state = "draining" },
        { id = "d", address = "127.0.0.1:4", weight = 0 },
    ]
    [[listener.rule]]
    name = "tools"
    priority = 5
    when.path = ["/mcp"]
    forward = "tools"
    [[target_group]]
    name = "tools"
    stickiness = { enabled = true, type = "app_header", app_header = "Mcp-Session-Id", on_lost = 404 }
    target = [{ id = "t", address = "127.0.0.1:6" }, { id = "u", address = "127.0.0.1:7" }]
    [[target_group]]
    name = "plain"
    target = [{ id = "p", address = "127.0.0.1:5" }]
"##;

fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).unwrap())
}

/// The file, with the health of some targets of the group "app".
fn control(healths: &[(&str, Health)]) -> Control {
    let parsed = config::parse_complete(FILE.to_owned(), "test.toml").unwrap();
    let control = Control::new(parsed, None, ring()).unwrap();
    for (id, health) in healths {
        let snapshot = control.snapshot();
        let target = snapshot.groups[0].targets.iter().find(|target| *target.id == **id).unwrap();
        target.state.set_health(*health);
    }
    control.republish(&["app"]);
    control
}

fn cookie(scope: Scope, group: &str, target: &str, seen_s: u64) -> String {
    let plain = Plain {
        generation: 0,
        group: stable_key(group),
        target: stable_key(target),
        home: stable_key(target),
        session: 42,
        issued_s: seen_s,
        last_seen_s: seen_s,
    };
    let name = scope.name().to_owned();
    let value = Codec::new(&scope, ring()).seal(&plain, [9; 12]).unwrap();
    format!("limpet_{name}={}", String::from_utf8(value.to_vec()).unwrap())
}

/// A field line with a session id of the group "tools", sealed so long ago.
fn session_id(target: &str, age_s: u64) -> String {
    let plain = Plain {
        generation: 0,
        group: stable_key("tools"),
        target: stable_key(target),
        home: stable_key(target),
        session: 42,
        issued_s: NOW_S - age_s,
        last_seen_s: NOW_S - age_s,
    };
    let codec = SealCodec::new(&Scope::Group("tools".into()), ring());
    let seal = codec.seal(b"6f1e-4b", &plain, [9; 12]).unwrap();
    format!("mcp-session-id: 6f1e-4b.{}", str::from_utf8(&seal).unwrap())
}

fn app(target: &str) -> String {
    cookie(Scope::Group("app".into()), "app", target, NOW_S - 10)
}

fn ask(control: &Control, request: &str, headers: &[&str]) -> Explanation {
    let question = Question {
        request: request.to_owned(),
        headers: headers.iter().map(|&line| line.to_owned()).collect(),
        listener: None,
        source: loopback(),
        sni: None,
        client_certificate: false,
    };
    explain_at(&control.snapshot(), &question, NOW_S).unwrap()
}

#[track_caller]
fn assert_lines(page: &Explanation, lines: &[&str]) {
    let page = page.to_string();
    for line in lines {
        assert!(page.lines().any(|had| had == *line), "no line {line:?} in\n{page}");
    }
}

/// Group, target, reason and status of the outcome.
fn outcome(page: &Explanation) -> (Option<&str>, Option<&str>, Option<&str>, Option<u16>) {
    let Outcome { group, target, sticky_reason, status, .. } = &page.outcome;
    (group.as_deref(), target.as_deref(), sticky_reason.as_deref(), *status)
}

#[test]
fn a_bare_cookie_leads_to_its_target_with_its_health_and_load() {
    let control = control(&[]);
    control.snapshot().groups[0].targets[0].state.try_acquire(0);
    let page = ask(&control, &app("a"), &[]);
    assert_lines(
        &page,
        &[
            "request    GET /, host localhost",
            "verdict    valid: group app, target a",
            "target     a is unchecked, 1 in flight",
        ],
    );
    assert_eq!(outcome(&page), (Some("app"), Some("a"), Some("valid"), None));
    assert_eq!(page.outcome.rule.as_deref(), Some("default"));
}

#[test]
fn a_bound_target_that_cannot_serve_is_told_with_the_one_that_does() {
    let page = ask(&control(&[("b", Health::Unhealthy)]), &app("b"), &[]);
    assert_lines(&page, &["verdict    unhealthy: group app, target a"]);
    assert!(page.to_string().contains("the session lives here from now on"));
    assert_eq!(outcome(&page), (Some("app"), Some("a"), Some("unhealthy"), None));
    let page = ask(&control(&[]), &app("c"), &[]);
    assert_eq!(outcome(&page), (Some("app"), Some("c"), Some("draining"), None));
    assert_lines(
        &page,
        &[
            "target     c is draining, 0 in flight; it keeps what is bound to it until it has drained",
        ],
    );
}

#[test]
fn a_full_target_says_what_becomes_of_the_request() {
    let control = control(&[]);
    let state = Arc::clone(&control.snapshot().groups[0].targets[0].state);
    state.try_acquire(0);
    state.try_acquire(0);
    let page = ask(&control, &app("a"), &[]);
    assert_lines(&page, &["           full, its connection limit is 2: the request waits in line"]);
    // The question takes no place and no turn.
    assert_eq!(state.in_flight(), 2);
}

#[test]
fn a_balanced_request_says_who_is_eligible_and_why_others_are_not() {
    let page = ask(&control(&[("b", Health::Unhealthy)]), "GET /", &[]);
    assert_lines(
        &page,
        &[
            "verdict    new: no cookie that counts; balanced, a cookie is issued",
            "balanced   among a",
            "           not b: unhealthy",
            "           not c: draining, only what is bound to it still comes",
            "           not d: weight 0, only what is bound to it still comes",
        ],
    );
    assert_eq!(outcome(&page), (Some("app"), None, Some("new"), None));
    let none = [("a", Health::Unhealthy), ("b", Health::Unhealthy), ("d", Health::Unhealthy)];
    let page = ask(&control(&none), "GET /", &[]);
    assert_lines(&page, &["balanced   among a, b: nobody is healthy, so these are tried"]);
}

#[test]
fn a_sticky_rule_judges_by_its_own_cookie_and_escapes_a_group_that_has_nobody() {
    let split = |group, target| cookie(Scope::Rule("split".into()), group, target, NOW_S - 10);
    let control = control(&[]);
    let field = format!("Cookie: {}", split("plain", "p"));
    let page = ask(&control, "GET /split", &[&field]);
    assert_eq!(outcome(&page), (Some("plain"), Some("p"), Some("valid"), None));
    let field = format!("Cookie: {}", split("gone", "x"));
    let page = ask(&control, "GET /split", &[&field]);
    assert_eq!(page.outcome.sticky_reason.as_deref(), Some("removed"));
    assert!(page.to_string().contains("names a group that is not among these"), "{page}");
    let page = ask(&control, "GET /split", &[]);
    assert_lines(&page, &["balanced   among a, b of app", "           among p of plain"]);
    assert_eq!(outcome(&page), (None, None, Some("new"), None));
}

#[test]
fn a_cookie_of_a_group_that_is_not_reached_is_noted() {
    let page = ask(&control(&[]), "GET /plain", &[&format!("Cookie: {}", app("a"))]);
    assert_lines(
        &page,
        &[
            "stickiness off: every request is balanced",
            "note       limpet_app is of target group app, which is not reached",
        ],
    );
    assert_eq!(outcome(&page), (Some("plain"), None, None, None));
}

#[test]
fn a_session_id_in_a_field_is_told_with_what_its_seal_says() {
    let stickiness = "stickiness session id in Mcp-Session-Id, 7d at most, 404 when it is lost";
    let page = ask(&control(&[]), "POST /mcp", &[&session_id("u", 300)]);
    assert_lines(
        &page,
        &[
            stickiness,
            "seal       group tools, target u, issued 5m ago",
            "verdict    valid: group tools, target u",
        ],
    );
    assert_eq!(outcome(&page), (Some("tools"), Some("u"), Some("valid"), None));
    let page = ask(&control(&[]), "POST /mcp", &[&session_id("gone", 0)]);
    assert_lines(&page, &["seal       group tools, a target that is not here, issued 0s ago"]);
    assert_eq!(outcome(&page), (Some("tools"), None, Some("removed"), Some(404)));
    let page = ask(&control(&[]), "POST /mcp", &[&session_id("t", 8 * 86_400)]);
    assert_lines(&page, &["seal       group tools, target t, issued 8d ago"]);
    assert_eq!(outcome(&page), (Some("tools"), None, Some("expired_age"), Some(404)));
    let page = ask(&control(&[]), "POST /mcp", &["Mcp-Session-Id: 6f1e-4b"]);
    assert!(!page.to_string().contains("\nseal "), "{page}");
    assert_eq!(outcome(&page), (Some("tools"), None, Some("new"), None));
}

#[test]
fn a_session_id_alone_is_a_request_and_noted_where_its_group_is_not_reached() {
    let page = ask(&control(&[]), &session_id("u", 300), &[]);
    assert_lines(
        &page,
        &[
            "request    GET /, host localhost",
            "note       the session id in Mcp-Session-Id is of target group tools, which is not reached",
        ],
    );
    assert_eq!(outcome(&page), (Some("app"), None, Some("new"), None));
    let bare = ask(&control(&[]), "Mcp-Session-Id: 6f1e-4b", &[]);
    assert!(!bare.to_string().contains("not reached"), "{bare}");
}

#[test]
fn the_answer_of_the_api_has_every_key() {
    let page = ask(&control(&[]), "GET /moved", &[]);
    let json = serde_json::to_value(&page).unwrap();
    assert_eq!(json["steps"][0]["label"], "listener");
    assert_eq!(
        json["outcome"],
        serde_json::json!({
            "kind": "redirect", "listener": "web", "rule": "moved", "group": null, "target": null,
            "sticky_reason": null, "status": page.outcome.status,
        })
    );
    assert!(matches!(page.outcome.status, Some(301 | 302 | 307 | 308)));
    let refused = ask(&control(&[]), "GET /../x", &[]);
    assert_eq!(refused.outcome.kind, OutcomeKind::Refused);
    assert_eq!((refused.outcome.status, refused.outcome.rule), (Some(400), None));
}

#[test]
fn a_question_needs_only_a_request_and_wrong_ones_are_told() {
    let asked: Question = serde_json::from_str(r#"{"request":"GET /"}"#).unwrap();
    assert_eq!((asked.source, asked.listener.clone()), (loopback(), None));
    let elsewhere = Question { listener: Some("nope".to_owned()), ..asked };
    let said = explain(&control(&[]).snapshot(), &elsewhere).unwrap_err();
    assert!(said.contains("no listener \"nope\"; there is web"), "{said}");
}

#[test]
fn a_port_that_only_the_kernel_will_choose_is_not_told_as_0() {
    let page = ask(&control(&[]), "GET /secured", &["Host: www.example"]);
    assert_lines(
        &page,
        &[
            "listener   web (127.0.0.1, a free port): the only one",
            "location   https://www.example/",
        ],
    );
}

#[test]
fn the_handshake_that_a_proxy_header_would_tell_of_is_asked_of_conditions() {
    let line = "name = \"web\"\n";
    let with = |lines: &str, request: &str| {
        let rule = "[[listener.rule]]\nname = \"named\"\npriority = 7\nwhen.sni = [\"a.test\"]\nforward = \"plain\"";
        let file = FILE.replacen(line, &format!("{line}{lines}"), 1).replacen(
            "    [[target_group]]",
            &format!("{rule}\n[[target_group]]"),
            1,
        );
        let parsed = config::parse_complete(file, "test.toml").unwrap();
        let control = Control::new(parsed, None, ring()).unwrap();
        let question = Question {
            request: request.to_owned(),
            headers: Vec::new(),
            listener: None,
            source: loopback(),
            sni: Some("a.test".to_owned()),
            client_certificate: false,
        };
        explain_at(&control.snapshot(), &question, NOW_S).unwrap()
    };
    let v2 = "proxy_protocol = \"v2\"\nproxy_protocol_from = \"any\"\n";
    let page = with(v2, "GET /");
    assert_lines(
        &page,
        &["tls        server name a.test, no client certificate, by a PROXY header"],
    );
    assert_eq!(page.outcome.rule.as_deref(), Some("named"));
    assert_lines(&with(v2, "GET /canonical"), &["location   https://www.example/"]);
    // Version 1 tells of no handshake.
    let v1 = &v2.replace("v2", "v1");
    assert_eq!(with(v1, "GET /").outcome.rule.as_deref(), Some("default"));
    assert_lines(&with(v1, "GET /canonical"), &["location   http://www.example/"]);
}

#[test]
fn what_is_spoken_over_tls_is_said() {
    let home = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    let pem = home.path().join("shop.pem");
    let key = made.signing_key.serialize_pem();
    std::fs::write(&pem, made.cert.pem() + &key).unwrap();
    let pem = pem.display();
    let file = FILE
        .replacen(
            "name = \"web\"\n",
            &format!("name = \"web\"\ntls.certificates = [{{ chain = \"{pem}\" }}]\n"),
            1,
        )
        .replacen(
            "name = \"plain\"\n    target",
            &format!(
                "name = \"plain\"\nprotocol = \"https\"\nsend_proxy_protocol = \"v2\"\n\
                 tls.server_name = \"a.example\"\ntls.authorities = \"{pem}\"\n    target"
            ),
            1,
        );
    let parsed = config::parse_complete(file, "test.toml").unwrap();
    let control = Control::new(parsed, None, ring()).unwrap();
    let page = ask(&control, "GET /plain", &["Host: shop.example"]);
    let spoken_to = "p (127.0.0.1:5 over TLS as a.example behind a PROXY header v2, weight 1, ";
    assert!(page.to_string().contains(spoken_to), "{page}");
    let page = ask(&control, "GET /canonical", &["Host: shop.example"]);
    assert_lines(&page, &["location   https://www.example/"]);
    let page = ask(&self::control(&[]), "GET /canonical", &["Host: shop.example"]);
    assert_lines(&page, &["location   http://www.example/"]);
}

#[test]
fn what_a_group_of_grpc_answers_itself_is_said() {
    let file = FILE.replacen(
        "name = \"plain\"\n    target",
        "name = \"plain\"\nprotocol_version = \"grpc\"\n    target",
        1,
    );
    let parsed = config::parse_complete(file, "test.toml").unwrap();
    let control = Control::new(parsed, None, ring()).unwrap();
    let page = ask(&control, "GET /plain", &[]);
    assert_lines(
        &page,
        &[
            "gRPC       plain answers calls of gRPC only, by POST with content type application/grpc: 405",
        ],
    );
    assert_eq!(outcome(&page), (Some("plain"), None, None, Some(405)));
    assert!(page.to_string().contains("p (127.0.0.1:5 by gRPC, weight 1, "), "{page}");
    let page = ask(&control, "POST /plain", &["Content-Type: application/json"]);
    assert_eq!(outcome(&page).3, Some(415));
    let page = ask(&control, "POST /plain", &["Content-Type: application/grpc"]);
    assert_eq!(outcome(&page).3, None);
    assert_lines(
        &page,
        &["gRPC       plain answers this call over HTTP/2; over HTTP/1.1 it is 505"],
    );
}
