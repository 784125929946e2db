//! Requests that are good, with bytes in them that a careless reader would take for something else:
//! they are forwarded with exactly one meaning.

use super::{SMUGGLED, serving};

#[test]
fn a_request_hidden_in_content_of_known_length_stays_content() {
    let (limpet, target) = serving();
    let mut client = limpet.client();
    for method in ["POST", "GET", "DELETE", "OPTIONS"] {
        let length = SMUGGLED.len();
        client.send(format!(
            "{method} /outer HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"
        ));
        let echo = client.response_to(method).echo();
        assert_eq!((&*echo.path, &*echo.content), ("/outer", SMUGGLED));
    }
    client.assert_usable();
    assert!(target.requests().iter().all(|request| request.target != "/smuggled"));
}

#[test]
fn a_request_hidden_in_a_chunk_stays_content() {
    let (limpet, target) = serving();
    let mut client = limpet.client();
    let size = SMUGGLED.len();
    client.send(format!(
        "POST /outer HTTP/1.1\r\nHost: limpet.test\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
    ));
    assert_eq!(client.response().echo().content, SMUGGLED);
    client.assert_usable();
    assert_eq!(target.request_count(), 2);
}

#[test]
fn a_request_hidden_in_an_extension_or_trailer_value_goes_nowhere() {
    let (limpet, target) = serving();
    let mut client = limpet.client();
    client.send(
        "POST /outer HTTP/1.1\r\nHost: limpet.test\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\"GET /smuggled HTTP/1.1\"\r\nx\r\n0\r\n\r\n",
    );
    assert_eq!(client.response().echo().content, "x");
    assert!(!target.received()[0].contains("smuggled"));
}

#[test]
fn look_alikes_of_framing_fields_are_dropped() {
    let (limpet, target) = serving();
    let mut client = limpet.client();
    for name in [
        "Transfer_Encoding",
        "transfer_encoding",
        "Content_Length",
        "X_Forwarded_For",
        "X_FORWARDED_PROTO",
        "X-Forwarded_Host",
        "X_Request_Id",
    ] {
        let echo = client.get_with("/", &format!("{name}: chunked\r\nX-Kept_Field: 1\r\n")).echo();
        assert!(!echo.fields.has(name), "{name} reached the target");
        assert_eq!(echo.fields.one("x-kept_field"), Some("1"));
    }
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn a_connection_option_never_removes_what_limpet_relies_on() {
    let (limpet, _target) = serving();
    let mut client = limpet.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: limpet.test\r\nConnection: Host, Content-Length, Cookie, Authorization, X-Forwarded-For, X-Forwarded-Proto\r\nCookie: a=b\r\nAuthorization: Basic eA==\r\nContent-Length: 5\r\n\r\nhello",
    );
    let echo = client.response().echo();
    assert_eq!(echo.content, "hello");
    assert_eq!(echo.fields.one("host"), Some("limpet.test"));
    assert_eq!(echo.fields.one("cookie"), Some("a=b"));
    assert_eq!(echo.fields.one("authorization"), Some("Basic eA=="));
    assert!(echo.fields.has("x-forwarded-for") && echo.fields.has("x-forwarded-proto"));
}

#[test]
fn a_connection_option_that_names_the_coding_does_not_unframe_the_content() {
    let (limpet, target) = serving();
    let mut client = limpet.client();
    client.send(
        "POST /outer HTTP/1.1\r\nHost: limpet.test\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    // The harness's target reads strictly: what it cannot frame it does not record.
    assert_eq!(client.response().echo().content, "hello");
    client.assert_usable();
    assert_eq!(target.request_count(), 2);
}

#[test]
fn a_good_request_that_drips_in_behind_another_is_its_own() {
    let (limpet, target) = serving();
    let mut client = limpet.client();
    let first = "POST /1 HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 4\r\n\r\nGET ";
    let second = "GET /2 HTTP/1.1\r\nHost: limpet.test\r\n\r\n";
    let both = [first, second].concat();
    for split in [first.len() - 4, first.len(), first.len() + 4] {
        client.send_split(&both, &[split]);
        assert_eq!(client.response().echo().content, "GET ");
        assert_eq!(client.response().echo().path, "/2");
    }
    assert_eq!(target.request_count(), 6);
}
