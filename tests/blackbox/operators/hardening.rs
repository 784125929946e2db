//! Clients of the admin API that are slow, large or false: they hold up nobody and get nothing.

use std::time::{Duration, Instant};

use crate::support::{Client, Limpet, Target, config, poll};

fn serving() -> (Limpet, Target) {
    let target = Target::echo("a");
    let config = config().with_admin().admin("address", "127.0.0.1:0");
    (config.serving(&target).start(), target)
}

/// The status of a request that is sent as it is; 0 when the connection is cut in place of an answer.
fn status(limpet: &Limpet, request: impl AsRef<[u8]>) -> u16 {
    let mut client = limpet.client_of("@admin");
    client.send(request);
    client.wire.read_response("GET").map_or(0, |response| response.status)
}

#[test]
fn slow_and_silent_clients_hold_up_nobody() {
    let (limpet, _target) = serving();
    let mut slow: Vec<Client> = Vec::new();
    for number in 0..30 {
        let mut client = limpet.client_of("@admin");
        match number % 3 {
            0 => {}
            1 => drop(client.send("GET /v1/sta")),
            _ => drop(client.send(
                "POST /v1/config/apply HTTP/1.1\r\nHost: localhost\r\nX-Limpet-Request: 1\r\n\
                 Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"te",
            )),
        }
        slow.push(client);
    }
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(limpet.admin().ask("GET", "/v1/status", "", "").0, 200);
        assert_eq!(status(&limpet, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"), 200);
        assert_eq!(limpet.get("/").status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // However many there are: the socket has places of its own.
    slow.extend((0..300).map(|_| limpet.client_of("@admin")));
    assert_eq!(limpet.admin().ask("GET", "/v1/status", "", "").0, 200);
    assert_eq!(limpet.get("/").status, 200);
    drop(slow);
    let again = poll(|| {
        let mut client = Client::try_connect(limpet.address_of("@admin"))?;
        client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.wire.read_response("GET").ok().filter(|response| response.status == 200)
    });
    assert!(again.is_some(), "the address answers once they have gone");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_held() {
    let (limpet, _target) = serving();
    let huge = "x".repeat(200 * 1024);
    let refused = status(
        &limpet,
        format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Huge: {huge}\r\n\r\n"),
    );
    assert!([0, 431].contains(&refused), "{refused}");
    let many = "a: b\r\n".repeat(5000);
    let refused =
        status(&limpet, format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"));
    assert!([0, 431].contains(&refused), "{refused}");
    let long = format!("GET /v1/{huge} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let refused = status(&limpet, long);
    assert!([0, 414, 431].contains(&refused), "{refused}");
    let head = "POST /v1/config/diff HTTP/1.1\r\nHost: localhost\r\nX-Limpet-Request: 1\r\nContent-Type: application/json\r\n";
    let mut content = format!("{{\"text\":\"{}\"}}", "#".repeat(5 << 20));
    let sized = format!("{head}Content-Length: {}\r\n\r\n{content}", content.len());
    assert_eq!(status(&limpet, sized), 413);
    content = format!("{:x}\r\n{content}\r\n0\r\n\r\n", content.len());
    assert_eq!(status(&limpet, format!("{head}Transfer-Encoding: chunked\r\n\r\n{content}")), 413);
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!("{{\"text\":{nested}}}");
    let sized = format!("{head}Content-Length: {}\r\n\r\n{nested}", nested.len());
    assert_eq!(status(&limpet, sized), 400);
    assert_eq!(limpet.admin().ask("GET", "/v1/status", "", "").0, 200);
}

#[test]
fn no_path_leads_out_of_the_console() {
    let (limpet, _target) = serving();
    for path in [
        "/../limpet.toml",
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/assets/%2fetc%2fpasswd",
        "//etc/passwd",
        "/..%5c..%5cetc/passwd",
        "/app.js%00.html",
        "/v1/../metrics/../../etc/passwd",
    ] {
        let mut client = limpet.client_of("@admin");
        let answer =
            client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).response();
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.head);
        assert!(!answer.text().contains("root:"), "{path}");
    }
}

#[test]
fn only_our_own_names_are_answered() {
    let (limpet, _target) = serving();
    let with_host =
        |lines: &str| status(&limpet, format!("GET /v1/status HTTP/1.1\r\n{lines}\r\n"));
    for host in [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1",
        "127.0.0.1:9901",
        "[::1]",
        "[::1]:9901",
        "[::ffff:127.0.0.1]:1",
    ] {
        assert_eq!(with_host(&format!("Host: {host}\r\n")), 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1",
        "[evil]",
        "::1",
        "",
        "localhost:x",
        "a@localhost",
    ] {
        assert!([400, 421].contains(&with_host(&format!("Host: {host}\r\n"))), "{host}");
    }
    assert!([400, 421].contains(&with_host("")), "no name");
    assert!([400, 421].contains(&with_host("Host: localhost\r\nHost: localhost\r\n")), "two names");
    let absolute = "GET http://evil.example/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert!([400, 421].contains(&status(&limpet, absolute)));
    // The console's page, too, is nothing for a name that was bound to this address.
    assert_eq!(status(&limpet, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 421);
}

#[test]
fn a_method_is_the_one_of_the_request_line() {
    let (limpet, _target) = serving();
    let path = "/v1/groups/app/targets/a";
    for (method, override_field) in [
        ("GET", "X-HTTP-Method-Override: DELETE"),
        ("POST", "X-HTTP-Method-Override: DELETE"),
        ("POST", "X-Method-Override: DELETE"),
        ("POST", "X-HTTP-Method: DELETE"),
    ] {
        let request = format!(
            "{method} {path}?_method=DELETE HTTP/1.1\r\nHost: localhost\r\nX-Limpet-Request: 1\r\n{override_field}\r\nContent-Length: 0\r\n\r\n"
        );
        let wanted = if method == "GET" { 200 } else { 405 };
        assert_eq!(status(&limpet, request), wanted, "{method} {override_field}");
    }
    for method in ["TRACE", "CONNECT", "OPTIONS", "delete", "BREW"] {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Limpet-Request: 1\r\n\r\n");
        assert!([400, 404, 405, 421].contains(&status(&limpet, request)), "{method}");
    }
    assert_eq!(limpet.admin().target("app", "a")["configured_state"], "in_service");
    let preflight = "OPTIONS /v1/status HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nAccess-Control-Request-Method: PATCH\r\n\r\n";
    let answer = limpet.client_of("@admin").send(preflight).response_to("OPTIONS");
    assert!(!answer.head.to_ascii_lowercase().contains("access-control-"), "{}", answer.head);
}

#[test]
fn smuggled_requests_to_the_api_are_not_understood() {
    let (limpet, _target) = serving();
    let both = "POST /v1/config/diff HTTP/1.1\r\nHost: localhost\r\nX-Limpet-Request: 1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nDELETE /v1/groups/app/targets/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut client = limpet.client_of("@admin");
    client.send(both);
    let _ = client.wire.read_response("POST");
    assert_eq!(limpet.admin().target("app", "a")["configured_state"], "in_service");
}
