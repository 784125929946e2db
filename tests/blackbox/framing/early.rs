//! A target that answers before the request has been read whole: its response is delivered, then
//! both connections close.

use crate::support::{Target, config};

const HEAD: &str = "POST /big HTTP/1.1\r\nHost: limpet.test\r\n";

fn hasty() -> Target {
    Target::scripted(|connection| {
        if connection.next_head()?.is_some() {
            connection.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")?;
            connection.read_until_closed()?;
        }
        Ok(())
    })
}

#[test]
fn an_early_response_is_delivered_and_both_connections_close() {
    for framing in
        ["Content-Length: 1000000\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"]
    {
        let target = hasty();
        let limpet = config().serving(&target).start();
        let mut client = limpet.client();
        client.send(format!("{HEAD}{framing}"));
        let response = client.response();
        assert_eq!((response.status, &*response.text()), (403, "no"));
        client.assert_closed();
        target.wait_until_idle();
    }
}

#[test]
fn an_early_response_says_that_the_connection_closes() {
    let target = hasty();
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(format!("{HEAD}Content-Length: 1000000\r\n\r\nsome"));
    let response = client.response();
    assert_eq!(response.field("connection"), Some("close"));
}

#[test]
fn what_follows_an_early_response_is_never_parsed_as_a_request() {
    let target = hasty();
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(format!("{HEAD}Content-Length: 1000\r\n\r\n"));
    assert_eq!(client.response().status, 403);
    client.send("GET /smuggled HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    client.assert_closed();
    target.wait_until_idle();
    assert_eq!(target.request_count(), 1);
}

#[test]
fn an_early_response_ends_an_upload_that_is_still_running() {
    let target = Target::scripted(|connection| {
        if connection.next_head()?.is_some() {
            connection.read_exactly(100_000)?;
            connection
                .send(b"HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
        }
        // Closing here with unread content resets the connection, as servers do.
        Ok(())
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let mut writer = client.wire.writer().unwrap();
    let upload = std::thread::spawn(move || {
        writer.send(format!("{HEAD}Content-Length: 1000000000\r\n\r\n").as_bytes())?;
        let piece = [b'x'; 64 * 1024];
        for _ in 0..16 {
            writer.send(&piece)?;
        }
        Ok::<(), std::io::Error>(())
    });
    // The reset of the target may overtake its own response; then limpet can only say 502.
    let status = client.response().status;
    assert!(matches!(status, 413 | 502), "{status}");
    drop(upload.join().expect("the uploading thread"));
    let _ = client.read_rest();
}

#[test]
fn a_response_that_overlaps_its_request_streams_beside_it() {
    let target = Target::scripted(|connection| {
        if connection.next_head()?.is_some() {
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            loop {
                let (_, bytes) = connection.read_chunk()?;
                if bytes.is_empty() {
                    connection.read_trailers()?;
                    connection.send(b"0\r\n\r\n")?;
                    break;
                }
                let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                chunk.extend_from_slice(&bytes);
                chunk.extend_from_slice(b"\r\n");
                connection.send(&chunk)?;
            }
        }
        Ok(())
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(client.response_head().status, 200);
    for round in 0..20 {
        // Each piece comes back before the next is sent: neither direction waits for the other's end.
        client.send(format!("5\r\nnr {round:02}\r\n"));
        let (_, piece) = client.wire.read_chunk().expect("the piece comes back");
        assert_eq!(piece, format!("nr {round:02}").into_bytes());
    }
    client.send("0\r\n\r\n");
    let (last, _) = client.wire.read_chunk().expect("the last chunk");
    assert_eq!(last, "0");
}
