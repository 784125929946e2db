//! Formats besides JSON, and what never stands in any of them.

use crate::support::{Limpet, Target, config, group, listener};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// The fields of a line by ALB's rules: separated by spaces, some of them in quotes.
fn alb_fields(line: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let quoted = rest.strip_prefix('"').map(|quoted| quoted.split_once('"').expect("a quote"));
        let (field, after) = quoted.unwrap_or_else(|| rest.split_once(' ').unwrap_or((rest, "")));
        fields.push(field);
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    fields
}

#[test]
fn a_forwarded_request_in_albs_format() {
    let target = Target::fixed(HELLO);
    let web = listener("edge").rule("priority = 7\nwhen.path = [\"/api/*\"]\nforward = \"app\"");
    let config = config().access_log("format", "alb").listener(web);
    let limpet = config.group(group("app").target("a", &target)).start();
    let mut client = limpet.client();
    let client_port = client.wire.local_port();
    client.get_with("/api/x?key=secret", "User-Agent: \"t\" 1\r\n");
    let line = limpet.log_lines(1).remove(0);
    let fields = alb_fields(&line);
    assert_eq!(fields.len(), 33, "{line}");
    let port = limpet.address().port();
    let url = format!("GET http://limpet.test:{port}/api/x?key=*** HTTP/1.1");
    for (at, wanted) in [
        (0, "http"),
        (2, "edge"),
        (3, &format!("127.0.0.1:{client_port}")),
        (4, &target.address()),
        (8, "200"),
        (9, "200"),
        (12, &url),
        (13, r"\x22t\x22 1"),
        (16, "app"),
        (20, "7"),
        (22, "forward"),
        (23, "-"),
        (24, "-"),
        (25, &target.address()),
        (26, "200"),
    ] {
        assert_eq!(fields[at], wanted, "field {at} of {line}");
    }
    let request_id = target.last_request().fields.one("x-request-id").map(str::to_owned);
    assert_eq!(Some(fields[17].to_owned()), request_id);
    let (response, creation) = (time(fields[1]), time(fields[21]));
    assert!(creation <= response, "{line}");
    for field in &fields[5..8] {
        let seconds: f64 = field.parse().unwrap_or_else(|_| panic!("{field} in {line}"));
        assert!((0.0..30.0).contains(&seconds), "{line}");
    }
}

fn time(text: &str) -> jiff::Timestamp {
    assert_eq!(text.len(), "2018-07-02T22:23:00.186641Z".len(), "{text}");
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn limpets_own_answers_in_albs_format() {
    let web = listener("web")
        .rule("priority = 1\nwhen.path = [\"/old\"]\nredirect.to = \"https://h.test/new?#{query}\"")
        .rule("priority = 2\nwhen.path = [\"/ping\"]\nrespond = {}");
    let target = Target::echo("a");
    let config = config().access_log("format", "alb").listener(web);
    let limpet = config.group(group("app").target("a", &target)).start();
    let mut client = limpet.client();
    client.get("/old?key=secret");
    client.get("/ping");
    client.get("/");
    limpet.log_lines(3);
    limpet.client().send("GET / HTTP/1.1\r\nbad field\r\n\r\n").response();
    let lines = limpet.log_lines(4);
    let facts = |line: usize| -> Vec<&str> {
        let fields = alb_fields(&lines[line]);
        assert_eq!(fields.len(), 33, "{}", lines[line]);
        [4, 5, 6, 8, 9, 20, 22, 23].map(|at| fields[at]).to_vec()
    };
    let location = "https://h.test/new?key=***";
    assert_eq!(facts(0), ["-", "-1", "-1", "302", "-", "1", "redirect", location]);
    assert_eq!(facts(1), ["-", "-1", "-1", "200", "-", "2", "fixed-response", "-"]);
    assert_eq!(facts(2)[3..], ["200", "200", "0", "forward", "-"]);
    assert_eq!(facts(3), ["-", "-1", "-1", "400", "-", "-", "-", "-"]);
    assert!(lines[3].contains("\"Severe\""), "{}", lines[3]);
}

#[test]
fn a_template_writes_what_it_names() {
    let target = Target::fixed(HELLO);
    let template = "{{{method}}} \"{path}\" {status} {target_address} {user_agent:json}";
    let config = config().access_log("format", "template").access_log("template", template);
    let limpet = config.serving(&target).start();
    limpet.client().get_with("/a\"b?c=d", "User-Agent: say \"hi\"\r\n");
    let line = limpet.log_lines(1).remove(0);
    let address = target.address();
    assert_eq!(line, format!(r#"{{GET}} "/a\x22b?c=***" 200 {address} "say \"hi\"""#));
}

#[test]
fn a_template_with_a_wrong_field_is_refused_with_the_right_one() {
    let target = Target::echo("a");
    let config =
        config().access_log("format", "template").access_log("template", "{stauts} {path}");
    let refused = Limpet::refused(&config.serving(&target).text(), |_| {});
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("access_log.template"), "{}", refused.stderr);
    assert!(refused.stderr.contains("did you mean \"status\"?"), "{}", refused.stderr);
}

#[test]
fn queries_are_redacted_kept_or_removed() {
    let target = Target::echo("a");
    for (query, path, referer) in [
        (None, "/x?token=***&***", "https://***@r.test/?q=***#***"),
        (Some("keep"), "/x?token=abc&flag", "https://me:pw@r.test/?q=1#top"),
        (Some("remove"), "/x", "https://r.test/"),
    ] {
        let mut config = config();
        if let Some(query) = query {
            config = config.access_log("query", query);
        }
        let limpet = config.serving(&target).start();
        let sent = "Referer: https://me:pw@r.test/?q=1#top\r\n";
        limpet.client().get_with("/x?token=abc&flag", sent);
        assert_eq!(target.last_request().target, "/x?token=abc&flag", "only the log is redacted");
        let record = limpet.record(1);
        assert_eq!((record.text("path"), record.text("referer")), (path, referer));
    }
}

#[test]
fn cookies_and_credentials_never_stand_in_the_log() {
    const SECRET: &str = "s3cret";
    let fields: Vec<String> = [
        "Cookie: session=s3cret",
        "Authorization: Bearer s3cret",
        "Proxy-Authorization: Basic s3cret",
        "X-Api-Key: s3cret",
    ]
    .map(|line| format!("{line}\r\n"))
    .to_vec();
    let fields = fields.concat();
    let every = "{time}{listener}{client}{method}{host}{path}{rule}{group}{target}{sticky}{code}\
                 {request_id}{referer}{user_agent}{action}{location}{scheme}";
    let target = Target::fixed(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: session=s3cret\r\n\r\nok",
    );
    for (format, template) in
        [("json", None), ("combined", None), ("alb", None), ("template", Some(every))]
    {
        // Even with everything of the query.
        let mut config = config().access_log("format", format).access_log("query", "keep");
        if let Some(template) = template {
            config = config.access_log("template", template);
        }
        let limpet = config.group(group("app").sticky().target("a", &target)).start();
        let ok = limpet.client().get_with("/x?y=z", &fields);
        assert!(ok.status == 200 && ok.set_cookie("limpet_app").is_some());
        // Refused, with the secrets in front of what is wrong and behind it.
        let refused = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}bad field\r\n{fields}\r\n");
        assert_eq!(limpet.client().send(&refused).response().status, 400);
        let lines = limpet.log_lines(2);
        assert!(lines.iter().all(|line| !line.contains(SECRET)), "{lines:?}");
        let own = ok.set_cookie("limpet_app").expect("the cookie").pair();
        assert!(lines.iter().all(|line| !line.contains(&own)), "{lines:?}");
    }
}

#[test]
fn one_request_of_so_many_is_logged_and_every_failed_one() {
    let target = Target::echo("a");
    let web = listener("web").rule("priority = 1\nwhen.path = [\"/bad\"]\nrespond.status = 503");
    let config = config().access_log("sample", 5).listener(web);
    let limpet = config.group(group("app").target("a", &target)).start();
    let mut client = limpet.client();
    for at in 0..10 {
        client.get(&format!("/{at}"));
    }
    for _ in 0..3 {
        client.get("/bad");
    }
    client.get("/last");
    let log = limpet.access_log(6);
    let paths: Vec<&str> = log.iter().map(|record| record.text("path")).collect();
    assert_eq!(paths, ["/0", "/5", "/bad", "/bad", "/bad", "/last"]);
}
