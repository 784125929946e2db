use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use crate::control::health::check::*;

fn http() -> HttpAsk {
    HttpAsk {
        method: "GET".into(),
        path: "/health".into(),
        host: String::new(),
        expect: vec![200..=200],
        body: String::new(),
        head_bytes: HEAD_BYTES_MAX,
    }
}

const HEAD_BYTES_MAX: usize = 64 * 1024;

fn ask(kind: Kind) -> Arc<Ask> {
    Arc::new(Ask {
        kind,
        timeout: Duration::from_secs(20),
        port: None,
        header: None,
        is_http2: false,
    })
}

fn in_clear(address: Address) -> Endpoint {
    Endpoint { address, tls: None }
}

fn failed(why: &str) -> Verdict {
    Verdict::Failed(why.into())
}

/// Serves one connection: reads a request's head, writes `response`, closes. Returns the head.
async fn serve_one<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, response: &[u8]) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            break;
        }
    }
    // The check may have seen enough and be gone.
    let _ = stream.write_all(response).await;
    let _ = stream.shutdown().await;
    String::from_utf8(request).unwrap()
}

/// Checks a server that answers with `response`; returns the outcome and the request.
async fn answered(http: HttpAsk, response: &[u8]) -> (Outcome, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve_one(stream, response).await
    };
    tokio::join!(Prober.check(ask(Kind::Http(http)), in_clear(address)), server)
}

async fn verdict_on(http: HttpAsk, response: &[u8]) -> (Option<u16>, Verdict) {
    let (outcome, _) = answered(http, response).await;
    (outcome.status, outcome.verdict)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready";

#[tokio::test]
async fn the_request_is_what_the_settings_say() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve_one(stream, OK).await
    };
    // The target's own port is another one, where nothing listens.
    let elsewhere = Address::Tcp(([127, 0, 0, 1], 1).into());
    let kind = Kind::Http(HttpAsk { method: "OPTIONS".into(), ..http() });
    let ask = Ask {
        kind,
        timeout: Duration::from_secs(20),
        port: Some(address.port()),
        header: None,
        is_http2: false,
    };
    let (outcome, request) = tokio::join!(Prober.check(Arc::new(ask), in_clear(elsewhere)), server);
    assert_eq!((outcome.verdict, outcome.status), (Verdict::Passed, Some(200)));
    let mut lines: Vec<_> = request.trim_end().lines().map(str::to_lowercase).collect();
    assert_eq!(lines.remove(0), "options /health http/1.1");
    lines.sort();
    let host = format!("host: {address}");
    assert_eq!(lines, ["connection: close", &host, "user-agent: limpet-health-check"]);
}

#[tokio::test]
async fn a_host_that_is_set_is_sent() {
    let (_, request) = answered(HttpAsk { host: "shop.example".into(), ..http() }, OK).await;
    assert!(request.to_lowercase().contains("\r\nhost: shop.example\r\n"), "{request}");
}

#[tokio::test]
async fn the_status_decides_and_no_redirect_is_followed() {
    let found = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n";
    let verdict = verdict_on(http(), found).await;
    assert_eq!(verdict, (Some(302), failed("status 302, expected 200")));
    let wide = HttpAsk { expect: vec![200..=299, 302..=302], ..http() };
    assert_eq!(verdict_on(wide.clone(), found).await, (Some(302), Verdict::Passed));
    let broken = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
    let verdict = verdict_on(wide, broken).await;
    assert_eq!(verdict, (Some(500), failed("status 500, expected 200-299 or 302")));
}

#[tokio::test]
async fn an_interim_response_is_not_the_response() {
    let response = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(verdict_on(http(), response).await, (Some(200), Verdict::Passed));
}

#[tokio::test]
async fn a_text_is_looked_for_across_chunks_and_up_to_64_kib() {
    let ready = HttpAsk { body: "ready".into(), ..http() };
    assert_eq!(verdict_on(ready.clone(), OK).await, (Some(200), Verdict::Passed));
    let chunks =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n";
    assert_eq!(verdict_on(ready.clone(), chunks).await, (Some(200), Verdict::Passed));
    let missing = failed("the text \"ready\" is not in the first 64 KiB");
    let other = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsorry";
    assert_eq!(verdict_on(ready.clone(), other).await, (Some(200), missing.clone()));
    for (before, verdict) in
        [(CONTENT_BYTES_MAX - 5, Verdict::Passed), (CONTENT_BYTES_MAX - 4, missing)]
    {
        let mut long = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        long.resize(long.len() + before, b'.');
        long.extend_from_slice(b"ready, and so on");
        assert_eq!(verdict_on(ready.clone(), &long).await, (Some(200), verdict), "{before}");
    }
}

#[tokio::test]
async fn what_is_no_response_fails_with_its_reason() {
    let nothing = failed("closed without a whole response (target_closed)");
    assert_eq!(verdict_on(http(), b"").await, (None, nothing.clone()));
    assert_eq!(verdict_on(http(), b"HTTP/1.1 200 OK\r\nContent-").await, (None, nothing));
    let garbage = failed("the response is not valid (response_bad_status_line)");
    assert_eq!(verdict_on(http(), b"SSH-2.0-OpenSSH_9.6\r\n").await, (None, garbage));
    let mut endless = b"HTTP/1.1 200 OK\r\n".to_vec();
    let filler = format!("X-Filler: {}\r\n", ".".repeat(2000));
    while endless.len() < 2 * HEAD_BYTES_MAX {
        endless.extend_from_slice(filler.as_bytes());
    }
    let (_, verdict) = verdict_on(http(), &endless).await;
    assert_eq!(verdict, failed("the response is not valid (response_head_too_long)"));
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nrea";
    let (status, verdict) = verdict_on(HttpAsk { body: "ready".into(), ..http() }, short).await;
    assert_eq!(
        (status, verdict),
        (Some(200), failed("closed without a whole response (target_content_short)"))
    );
}

#[tokio::test]
async fn what_traffic_would_refuse_is_no_passed_check_and_has_the_same_word() {
    for (head, word) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na", "response_content_length_invalid"),
        ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na", "response_content_length_invalid"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "response_content_length_and_transfer_encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "response_transfer_encoding_invalid",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "response_transfer_encoding_in_http10",
        ),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "response_obs_fold"),
        ("HTTP/1.1 200 OK\r\nX : a\r\n\r\n", "response_space_before_colon"),
        ("HTTP/1.1 200 OK\nX: a\n\n", "response_bare_lf"),
        ("HTTP/2.0 200 OK\r\n\r\n", "response_version_not_supported"),
        (
            "HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
            "unasked_upgrade",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk_size_invalid"),
    ] {
        let (_, verdict) = verdict_on(http(), head.as_bytes()).await;
        assert_eq!(verdict, failed(&format!("the response is not valid ({word})")), "{head:?}");
    }
    // As many interim heads as a target may send, and one more.
    let mut many = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(101);
    many.extend_from_slice(OK);
    let word = failed("the response is not valid (response_too_many_interim)");
    assert_eq!(verdict_on(http(), &many).await.1, word);
    // The group's own limit counts.
    let short = HttpAsk { head_bytes: 20, ..http() };
    let word = failed("the response is not valid (response_head_too_long)");
    assert_eq!(verdict_on(short, OK).await.1, word);
}

#[tokio::test]
async fn a_target_that_is_not_there_refuses() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for kind in [Kind::Tcp, Kind::Http(http())] {
        let address = Address::Tcp(([127, 0, 0, 1], port).into());
        let outcome = Prober.check(ask(kind), in_clear(address)).await;
        assert_eq!((outcome.verdict, outcome.status), (failed("connection refused"), None));
    }
    let address = Address::Unix("/nonexistent/app.sock".into());
    let outcome = Prober.check(ask(Kind::Tcp), in_clear(address)).await;
    assert_eq!(outcome.verdict, failed("there is no such socket"));
}

#[tokio::test]
async fn a_connection_is_all_that_a_tcp_check_needs() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    let outcome = Prober.check(ask(Kind::Tcp), in_clear(address)).await;
    assert_eq!((outcome.verdict, outcome.status), (Verdict::Passed, None));
}

#[tokio::test]
async fn unix_sockets_are_checked_alike() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve_one(stream, OK).await
    };
    let check = Prober.check(ask(Kind::Http(http())), in_clear(Address::Unix(path.clone())));
    let (outcome, request) = tokio::join!(check, server);
    assert_eq!((outcome.verdict, outcome.status), (Verdict::Passed, Some(200)));
    assert!(request.to_lowercase().contains("\r\nhost: localhost\r\n"), "{request}");
    drop(listener);
    let outcome = Prober.check(ask(Kind::Tcp), in_clear(Address::Unix(path))).await;
    assert_eq!(outcome.verdict, failed("connection refused"));
}

/// Checks, with a short timeout, a server that sends `response` and then nothing more.
async fn silent_after(http: HttpAsk, response: &[u8]) -> (Verdict, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    let timeout = Duration::from_millis(300);
    let ask = Arc::new(Ask {
        kind: Kind::Http(http),
        timeout,
        port: None,
        header: None,
        is_http2: false,
    });
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(response).await.unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = Prober.check(ask, in_clear(address)) => (outcome.verdict, outcome.latency),
        () = server => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn the_timeout_is_over_the_whole_check() {
    let (verdict, latency) = silent_after(http(), b"").await;
    assert_eq!(verdict, failed("no response within 300ms"));
    assert!(latency >= Duration::from_millis(300), "{latency:?}");
    let (verdict, _) = silent_after(http(), b"HTTP/1.1 200 OK\r\n").await;
    assert_eq!(verdict, failed("no response within 300ms"));
    let partly = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nrea";
    let (verdict, _) = silent_after(HttpAsk { body: "ready".into(), ..http() }, partly).await;
    assert_eq!(verdict, failed("the response's content did not come within 300ms"));
    // Without a text to look for, the head decides.
    assert_eq!(silent_after(http(), partly).await.0, Verdict::Passed);
}

#[tokio::test]
async fn want_of_descriptors_says_nothing_about_the_target() {
    let error = io::Error::from_raw_os_error(libc::EMFILE);
    assert!(matches!(connect_error(&error), Verdict::NotAsked(_)));
    let error = io::Error::from_raw_os_error(libc::EHOSTUNREACH);
    assert_eq!(connect_error(&error), failed("no route to the host"));
}

/// How a target is spoken to that has this certificate, or is to have it.
fn trusting(
    certificate: &rustls::pki_types::CertificateDer<'static>,
    name: &str,
) -> crate::tls::target::TlsPeer {
    use crate::tls::target::{Naming, Sni, TargetTls, TargetTlsOptions, Verify, server_name};
    let options = TargetTlsOptions {
        naming: Naming::Fixed(server_name(name).unwrap()),
        sni: Sni::Same,
        minimum_version: crate::tls::policy::Version::Tls12,
        verify: Verify::Full,
        authorities: vec![certificate.clone()],
        crls: Vec::new(),
        own: None,
        alpn: vec!["http/1.1".into()],
    };
    let clock = Arc::new(rustls::time_provider::DefaultTimeProvider);
    Arc::new(TargetTls::new(&options, clock).unwrap()).peer(None)
}

#[tokio::test]
async fn a_target_under_tls_must_prove_to_a_check_what_it_must_prove_to_traffic() {
    use crate::transport::tls::tests::configurations::{NAME, certificate};
    let ((own, key), (other, _)) = (certificate(), certificate());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    let check = async |kind: Kind, tls| {
        let endpoint = Endpoint { address: address.clone(), tls: Some(tls) };
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                serve_one(stream, OK).await;
            }
        };
        tokio::join!(Prober.check(ask(kind), endpoint), server).0.verdict
    };
    for kind in [Kind::Tcp, Kind::Http(http())] {
        assert_eq!(check(kind.clone(), trusting(&own, NAME)).await, Verdict::Passed);
        for (tls, code) in [
            (trusting(&own, "else.example"), "(certificate_wrong_name)"),
            (trusting(&other, NAME), "(certificate_unknown_issuer)"),
        ] {
            let Verdict::Failed(why) = check(kind.clone(), tls).await else {
                panic!("it has proven nothing")
            };
            assert!(why.starts_with("TLS handshake failed: ") && why.ends_with(code), "{why}");
        }
    }
}

#[tokio::test]
async fn a_target_that_does_not_speak_tls_fails_its_check_with_the_reason() {
    use crate::transport::tls::tests::configurations::{NAME, certificate};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    let endpoint =
        || Endpoint { address: address.clone(), tls: Some(trusting(&certificate().0, NAME)) };
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
    };
    let (outcome, ()) = tokio::join!(Prober.check(ask(Kind::Tcp), endpoint()), server);
    let Verdict::Failed(why) = outcome.verdict else { panic!("it speaks no TLS") };
    assert!(why.ends_with("(no_tls)"), "{why}");
    // It says nothing at all.
    let silent = async {
        let (stream, _) = listener.accept().await.unwrap();
        stream
    };
    let short = Ask {
        kind: Kind::Tcp,
        timeout: Duration::from_millis(50),
        port: None,
        header: None,
        is_http2: false,
    };
    let (outcome, _stream) = tokio::join!(Prober.check(Arc::new(short), endpoint()), silent);
    assert_eq!(outcome.verdict, failed("no TLS handshake within 50ms (handshake_timeout)"));
}
