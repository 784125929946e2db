//! How a response's end is found, and whether its connection may be used again.

use std::future::poll_fn;
use std::task::Waker;
use std::time::Duration;

use super::*;
use crate::http::refusal::ChunkFault;
use crate::tls::target::ConnectionId;
use crate::transport::stream::Stream;
use crate::uring::simulated::{self, Knobs};
use crate::uring::{Shutdown, Socket};

const LIMITS: HeadLimits = HeadLimits {
    request_line_bytes: 65_536,
    field_line_bytes: 65_536,
    head_bytes: 65_536,
    field_count: 100,
};

/// Runs `main` with a response and the target's end of its connection.
fn play(main: impl AsyncFnOnce(&mut Response, &Socket)) {
    simulated::run(0, Knobs::default(), async {
        let (near, far) = simulated::pair();
        let mut response =
            Response::new(TargetConnection::new(Stream::plain(near), ConnectionId::PLAIN));
        main(&mut response, &far).await;
        response.close();
    });
}

async fn says(far: &Socket, text: &str) {
    let (sent, _) = far.send(text.into(), 0, true).await;
    assert_eq!(sent.unwrap(), text.len());
    simulated::wait(Duration::from_millis(1)).await;
}

/// Receives until a head is whole, and returns its status.
async fn head(response: &mut Response, method: Method) -> u16 {
    loop {
        if let Some(status) = response.head(method, &LIMITS, |head| head.status).unwrap() {
            return status;
        }
        poll_fn(|cx| response.poll_head(cx)).await.unwrap();
    }
}

/// The content that came along, and whether it is complete.
fn along(response: &mut Response) -> (String, bool) {
    let along = response.along().unwrap();
    (String::from_utf8_lossy(along.bytes).into_owned(), along.is_whole())
}

async fn content(response: &mut Response) -> Result<(String, End), ReceiveFault> {
    let received = poll_fn(|cx| response.poll_content(cx)).await?;
    let Piece { buffer, from } = received.piece;
    assert_eq!(from, ROOM, "there is room for a chunk's size line");
    Ok((String::from_utf8_lossy(&buffer[from..]).into_owned(), received.end))
}

#[test]
fn content_that_came_with_its_head_ends_as_its_framing_says() {
    for (text, method, content, is_whole, keeps) in [
        ("Content-Length: 3\r\n\r\nabc", Method::Get, "abc", true, true),
        ("Content-Length: 3\r\n\r\nabcd", Method::Get, "abc", true, false),
        ("Content-Length: 4\r\n\r\nabc", Method::Get, "abc", false, false),
        ("Content-Length: 3\r\n\r\n", Method::Head, "", true, true),
        ("Content-Length: 3\r\n\r\nabc", Method::Head, "", true, false),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Method::Get, "abc", true, true),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP", Method::Get, "", true, false),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nab", Method::Get, "ab", false, false),
        ("\r\nabc", Method::Get, "abc", false, false),
        ("Connection: close\r\nContent-Length: 3\r\n\r\nabc", Method::Get, "abc", true, false),
    ] {
        play(async |response, far| {
            says(far, &format!("HTTP/1.1 200 OK\r\n{text}")).await;
            assert_eq!(head(response, method).await, 200);
            assert_eq!(along(response), (content.to_owned(), is_whole), "{text:?}");
            assert_eq!(response.renew().is_some(), keeps, "{text:?}");
        });
    }
}

#[test]
fn a_connection_of_an_older_version_is_kept_where_the_target_says_so_alone() {
    for (fields, keeps) in [("", false), ("Connection: keep-alive\r\n", true)] {
        play(async |response, far| {
            says(far, &format!("HTTP/1.0 200 OK\r\n{fields}Content-Length: 0\r\n\r\n")).await;
            head(response, Method::Get).await;
            along(response);
            assert_eq!(response.renew().is_some(), keeps);
        });
    }
}

#[test]
fn content_behind_its_head_ends_where_its_length_says() {
    play(async |response, far| {
        says(far, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab").await;
        head(response, Method::Get).await;
        assert_eq!(along(response), ("ab".to_owned(), false));
        assert!(response.renew().is_none(), "it is not over");
        says(far, "cd").await;
        assert_eq!(content(response).await, Ok(("cd".to_owned(), End::No)));
        says(far, "ef").await;
        assert_eq!(content(response).await, Ok(("ef".to_owned(), End::Last)));
        assert!(response.renew().is_some());
    });
    play(async |response, far| {
        says(far, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
        head(response, Method::Get).await;
        along(response);
        says(far, "abHTTP/1.1 200").await;
        assert_eq!(content(response).await, Ok(("ab".to_owned(), End::Last)));
        assert!(response.renew().is_none(), "what stands behind it is nobody's");
    });
}

#[test]
fn chunked_content_ends_with_its_trailers() {
    play(async |response, far| {
        says(far, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na").await;
        head(response, Method::Get).await;
        assert_eq!(along(response), ("a".to_owned(), false));
        says(far, "bc\r\n0\r\nX-Sum: 1\r\n\r\n").await;
        assert_eq!(content(response).await, Ok(("bc".to_owned(), End::Last)));
        assert_eq!(response.trailers(), b"X-Sum: 1\r\n");
        assert!(response.renew().is_some());
        assert_eq!(response.trailers(), b"", "of the next response there are none yet");
    });
    play(async |response, far| {
        says(far, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        head(response, Method::Get).await;
        along(response);
        says(far, "x\r\n").await;
        let fault = ReceiveFault::Invalid(ChunkFault::SizeEmpty);
        assert!(matches!(content(response).await, Err(ReceiveFault::Invalid(_))), "{fault:?}");
    });
}

#[test]
fn the_end_of_the_stream_is_an_end_of_content_where_nothing_else_tells() {
    for (fields, ended) in [
        ("", Ok((String::new(), End::ByClose))),
        ("Content-Length: 9\r\n", Err(ReceiveFault::Closed)),
        ("Transfer-Encoding: chunked\r\n", Err(ReceiveFault::Closed)),
    ] {
        play(async |response, far| {
            says(far, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).await;
            head(response, Method::Get).await;
            along(response);
            far.shutdown(Shutdown::Write);
            assert_eq!(content(response).await, ended, "{fields:?}");
            assert!(response.renew().is_none());
        });
        play(async |response, far| {
            says(far, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).await;
            head(response, Method::Get).await;
            along(response);
            far.abort();
            assert_eq!(content(response).await, Err(ReceiveFault::Reset), "{fields:?}");
        });
    }
}

#[test]
fn a_head_that_does_not_come_says_how() {
    play(async |response, far| {
        says(far, "HTTP/1.1 200 OK\r\n").await;
        poll_fn(|cx| response.poll_head(cx)).await.unwrap();
        assert!(!response.is_empty());
        far.shutdown(Shutdown::Write);
        assert_eq!(poll_fn(|cx| response.poll_head(cx)).await, Err(ReceiveFault::Closed));
    });
    play(async |response, far| {
        far.abort();
        assert_eq!(poll_fn(|cx| response.poll_head(cx)).await, Err(ReceiveFault::Reset));
    });
}

#[test]
fn interim_heads_are_used_up_one_by_one_and_decide_nothing() {
    play(async |response, far| {
        says(far, "HTTP/1.1 103 E\r\nConnection: close\r\n\r\nHTTP/1.1 100 C\r\n\r\n").await;
        assert_eq!(head(response, Method::Get).await, 103);
        assert!(!response.is_empty());
        assert_eq!(head(response, Method::Get).await, 100);
        assert!(response.is_empty());
        says(far, "HTTP/1.1 204 N\r\n\r\n").await;
        assert_eq!(head(response, Method::Get).await, 204);
        assert_eq!(along(response), (String::new(), true));
        assert!(response.renew().is_some());
    });
}

#[test]
fn a_head_that_outgrows_its_buffer_is_one_all_the_same() {
    play(async |response, far| {
        let field = format!("X-Long: {}\r\n", "x".repeat(2000));
        says(far, &format!("HTTP/1.1 200 OK\r\n{}", field.repeat(10))).await;
        let mut near = Box::pin(head(response, Method::Get));
        let polled = near.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        says(far, &format!("{}Content-Length: 2\r\n\r\nab", field.repeat(10))).await;
        assert_eq!(near.await, 200);
        assert_eq!(along(response), ("ab".to_owned(), true));
    });
}

#[test]
fn a_renewed_connection_serves_the_next_request_as_the_first() {
    play(async |response, far| {
        for (fields, idle_s) in [("Keep-Alive: timeout=5\r\n", Some(5)), ("", None)] {
            says(far, &format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\n\r\na")).await;
            head(response, Method::Get).await;
            assert_eq!(along(response), ("a".to_owned(), true));
            assert_eq!(response.renew().unwrap().idle_s, idle_s);
            assert!(response.is_empty());
            assert!(response.renew().is_none(), "nothing has been answered on it yet");
        }
    });
}

#[test]
fn what_stands_behind_the_head_of_a_101_is_the_tunnels() {
    play(async |response, far| {
        let head_text = "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
        says(far, &format!("{head_text}hello")).await;
        assert_eq!(head(response, Method::Get).await, 101);
        assert_eq!(response.take_bytes(), b"hello");
        assert_eq!(response.take_bytes(), b"");
    });
}
