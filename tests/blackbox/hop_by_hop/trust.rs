//! Whose word about the client is taken: the socket's peer decides, what it says is read in every spelling,
//! and where the client came in is never limpet's own port when a hop says otherwise.

use super::{trusting, with};
use crate::support::{Client, Limpet, Target, config, group, listener};

const PROXY: &[u8] = b"PROXY TCP4 192.0.2.33 198.51.100.1 4444 443\r\n";
const SAID: &str = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test\r\nX-Request-Id: theirs\r\n";

/// A header of version 2 for TCP over IPv4, with more behind the addresses.
fn v2(more: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend(u16::try_from(12 + more.len()).unwrap().to_be_bytes());
    header.extend([192, 0, 2, 33, 198, 51, 100, 1, 0x11, 0x5c, 0x01, 0xbb]);
    header.extend(more);
    header
}

/// A listener whose `/to` redirects to what the request's own parts are.
fn redirecting(settings: &[(&str, toml::Value)]) -> (Limpet, Target) {
    let target = Target::echo("a");
    let mut web = listener("web").rule(
        "priority = 1\nwhen.path = [\"/to\"]\nredirect = { to = \"#{protocol}://#{host}:#{port}/moved\" }",
    );
    for (key, value) in settings {
        web = web.set(key, value.clone());
    }
    let limpet = config().listener(web).group(group("app").target("a", &target)).start();
    (limpet, target)
}

#[test]
fn a_client_that_a_proxy_header_names_makes_nobody_trusted() {
    // The stranger at the socket says that it speaks for 192.0.2.33, which would be believed at the socket.
    let (limpet, _target) = with(&[
        ("proxy_protocol", "any".into()),
        ("proxy_protocol_from", "any".into()),
        ("trusted_proxies", vec!["192.0.2.0/24"].into()),
    ]);
    for header in [PROXY.to_vec(), v2(b"")] {
        let echo = limpet.client().send(header).get_with("/", SAID).echo();
        assert_eq!(echo.fields.one("x-forwarded-proto"), Some("http"));
        assert_eq!(echo.fields.one("x-forwarded-host"), Some("limpet.test"));
        assert_eq!(echo.fields.one("x-real-ip"), Some("192.0.2.33"));
        assert_ne!(echo.fields.one("x-request-id"), Some("theirs"));
    }
    assert_eq!(limpet.record(2).client(), "192.0.2.33");
}

#[test]
fn a_trusted_peer_is_believed_also_behind_its_proxy_header() {
    let (limpet, _target) = with(&[
        ("proxy_protocol", "any".into()),
        ("proxy_protocol_from", "any".into()),
        trusting(),
    ]);
    let echo = limpet.client().send(PROXY).get_with("/", SAID).echo();
    assert_eq!(echo.fields.one("x-forwarded-proto"), Some("https"));
    assert_eq!(echo.fields.one("x-forwarded-host"), Some("shop.test"));
    assert_eq!(echo.fields.one("x-request-id"), Some("theirs"));
    // The peer itself names the client; what that one claims to be is not believed.
    assert_eq!(echo.fields.one("x-real-ip"), Some("192.0.2.33"));
    assert_eq!(limpet.record(1).client(), "192.0.2.33");
}

#[test]
fn hops_are_walked_on_behind_a_client_that_is_one_of_them() {
    let (limpet, _target) = with(&[
        ("proxy_protocol", "any".into()),
        ("proxy_protocol_from", "any".into()),
        ("trusted_proxies", vec!["127.0.0.0/8", "192.0.2.33"].into()),
    ]);
    let echo = limpet.client().send(PROXY).get_with("/", SAID).echo();
    assert_eq!(echo.fields.one("x-real-ip"), Some("203.0.113.9"));
    assert_eq!(limpet.record(1).client(), "203.0.113.9");
}

#[test]
fn the_port_that_a_proxy_header_names_is_the_clients() {
    let (limpet, _target) =
        redirecting(&[("proxy_protocol", "any".into()), ("proxy_protocol_from", "any".into())]);
    for header in [PROXY.to_vec(), v2(b"")] {
        let mut client = limpet.client();
        client.send(header);
        assert_eq!(client.get("/").echo().fields.one("x-forwarded-port"), Some("443"));
        let moved = client.get("/to");
        assert_eq!(moved.field("location"), Some("http://limpet.test:443/moved"));
    }
    let port = limpet.address().port().to_string();
    let echo = limpet.client().send("PROXY UNKNOWN\r\n").get("/").echo();
    assert_eq!(echo.fields.one("x-forwarded-port"), Some(&*port), "it names none");
}

#[test]
fn a_client_that_the_proxy_header_says_came_by_tls_came_by_https() {
    let (limpet, _target) =
        redirecting(&[("proxy_protocol", "v2".into()), ("proxy_protocol_from", "any".into())]);
    let ssl = b"\x02\0\x09shop.test\x20\0\x0f\x01\0\0\0\0\x21\0\x07TLSv1.3";
    let mut client = limpet.client();
    let echo = client.send(v2(ssl)).get("/").echo();
    assert_eq!(echo.fields.one("x-forwarded-proto"), Some("https"));
    assert_eq!(client.get("/to").field("location"), Some("https://limpet.test/moved"));
    let plain = b"\x20\0\x05\0\0\0\0\0";
    let echo = limpet.client().send(v2(plain)).get("/").echo();
    assert_eq!(echo.fields.one("x-forwarded-proto"), Some("http"));
}

#[test]
fn a_proxy_header_with_long_certificate_names_is_taken() {
    let (limpet, _target) =
        with(&[("proxy_protocol", "v2".into()), ("proxy_protocol_from", "any".into())]);
    let name = vec![b'n'; 3500];
    let tlv = [&b"\xe0"[..], &u16::try_from(name.len()).unwrap().to_be_bytes(), &name].concat();
    let header = v2(&tlv);
    for splits in [vec![], vec![20, 1000, 3000]] {
        let mut client = limpet.client();
        client.send_split(&header, &splits);
        assert_eq!(client.get("/").echo().fields.one("x-real-ip"), Some("192.0.2.33"));
        client.assert_usable();
    }
}

#[test]
fn forwarded_of_trusted_hops_names_the_client_and_its_protocol() {
    let (limpet, _target) = with(&[trusting()]);
    let mut client = limpet.client();
    for (lines, address, proto) in [
        ("Forwarded: for=192.0.2.7;proto=https\r\n", "192.0.2.7", "https"),
        (
            "Forwarded: for=10.9.9.9, For=\"192.0.2.7:4711\";Proto=HTTPS, for=127.0.0.9\r\n",
            "192.0.2.7",
            "https",
        ),
        (
            "Forwarded: for=10.9.9.9\r\nForwarded: for=\"[2001:db8::7]:_a\";proto=wss\r\n",
            "2001:db8::7",
            "https",
        ),
        ("Forwarded: for=192.0.2.7;proto=http\r\n", "192.0.2.7", "http"),
        ("Forwarded: for=10.9.9.9;proto=https, for=192.0.2.7\r\n", "192.0.2.7", "http"),
        ("Forwarded: for=10.9.9.9, for=unknown\r\n", "127.0.0.1", "http"),
        ("Forwarded: for=10.9.9.9\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7", "http"),
    ] {
        let echo = client.get_with("/", lines).echo();
        assert_eq!(echo.fields.one("x-real-ip"), Some(address), "{lines}");
        assert_eq!(echo.fields.one("x-forwarded-proto"), Some(proto), "{lines}");
    }
    let (limpet, _target) = with(&[]);
    let echo = limpet.client().get_with("/", "Forwarded: for=192.0.2.7;proto=https\r\n").echo();
    assert_eq!(echo.fields.one("x-real-ip"), Some("127.0.0.1"), "a stranger's");
    assert_eq!(echo.fields.one("x-forwarded-proto"), Some("http"), "a stranger's");
}

#[test]
fn where_the_client_came_in_is_what_trusted_hops_say_and_never_the_internal_port() {
    let (limpet, _target) = redirecting(&[trusting()]);
    let port = limpet.address().port();
    let mut client = limpet.client();
    for (lines, expected) in [
        ("X-Forwarded-Proto: https\r\n", "https://limpet.test/moved"),
        ("X-Forwarded-Proto: https, http\r\n", "https://limpet.test/moved"),
        ("X-Forwarded-Proto: WSS\r\n", "https://limpet.test/moved"),
        ("X-Forwarded-Proto: http\r\n", "http://limpet.test/moved"),
        ("Forwarded: for=192.0.2.7;proto=https\r\n", "https://limpet.test/moved"),
        (
            "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n",
            "https://limpet.test:8443/moved",
        ),
        (
            "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443, 80\r\n",
            "https://limpet.test:8443/moved",
        ),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Port: x\r\n", "https://limpet.test/moved"),
    ] {
        assert_eq!(client.get_with("/to", lines).field("location"), Some(expected), "{lines}");
    }
    let quiet = client.get("/to");
    assert_eq!(quiet.field("location"), Some(&*format!("http://limpet.test:{port}/moved")));
    for (host, lines, expected) in [
        (
            "limpet.test:8443",
            "X-Forwarded-Proto: https\r\n",
            "https://limpet.test:8443/moved".to_owned(),
        ),
        (
            &*format!("limpet.test:{port}"),
            "X-Forwarded-Proto: https\r\n",
            "https://limpet.test/moved".to_owned(),
        ),
    ] {
        client.send(format!("GET /to HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n"));
        assert_eq!(client.response().field("location"), Some(&*expected), "{host}");
    }
}

#[test]
fn targets_are_told_a_port_that_goes_with_the_protocol() {
    let (limpet, _target) = with(&[trusting()]);
    for (lines, expected) in [
        ("X-Forwarded-Proto: https\r\n", "443"),
        ("X-Forwarded-Proto: http\r\n", "80"),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n", "8443"),
    ] {
        let echo = limpet.client().get_with("/", lines).echo();
        assert_eq!(echo.fields.one("x-forwarded-port"), Some(expected), "{lines}");
    }
}

#[test]
fn x_real_ip_is_the_client_whatever_came() {
    let came = "X-Real-IP: 10.0.0.1\r\nx-real-ip: 10.0.0.2\r\nX_Real_IP: 10.0.0.3\r\n";
    for (mode, expected) in [
        ("replace", vec!["127.0.0.1"]),
        ("preserve", vec!["10.0.0.1", "10.0.0.2"]),
        ("remove", vec![]),
    ] {
        let (limpet, _target) = with(&[("forwarded.x_real_ip", mode.into())]);
        let echo = limpet.client().get_with("/", came).echo();
        assert_eq!(echo.fields.all("x-real-ip"), expected, "{mode}");
        assert!(!echo.fields.has("x_real_ip"), "{mode}");
    }
    let (limpet, _target) = with(&[]);
    let echo = limpet.client().get_with("/", "X-Real-IP: 10.0.0.1\r\n").echo();
    assert_eq!(echo.fields.all("x-real-ip"), ["127.0.0.1"], "by default");
}

#[test]
fn peers_on_a_unix_socket_are_trusted_by_a_word_of_their_own() {
    for (trusted, client, proto, id) in [
        (vec!["unix"], "192.0.2.7", "https", Some("theirs")),
        (vec!["127.0.0.0/8", "unix"], "192.0.2.7", "https", Some("theirs")),
        (vec!["0.0.0.0/0", "::/0"], "", "http", None),
    ] {
        let target = Target::echo("a");
        let web = listener("web")
            .set("address", "unix:{dir}/web.sock")
            .set("trusted_proxies", trusted.clone());
        let limpet = config().listener(web).group(group("app").target("a", &target)).start();
        let lines = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 10.0.0.1\r\nX-Request-Id: theirs\r\n";
        let echo = Client::connect_unix(&limpet.path("web.sock")).get_with("/", lines).echo();
        assert_eq!(echo.fields.one("x-real-ip").unwrap_or_default(), client, "{trusted:?}");
        assert_eq!(echo.fields.one("x-forwarded-proto"), Some(proto), "{trusted:?}");
        assert_eq!(echo.fields.one("x-request-id").filter(|id| *id == "theirs"), id, "{trusted:?}");
    }
}
