//! GOAWAY to a client whose connection is old, has carried enough requests, or has lost its listener: what was begun
//! ends well, what comes behind it is refused, and every request is answered once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::{Method, Request};

use super::{app, clear};
use crate::support::http2::{GOAWAY, HEADERS, Http2, RST_STREAM, answer, play};
use crate::support::http2_by_hand as by_hand;
use crate::support::http2_frames::{Frame, Frames, PING, WINDOW_MAX};
use crate::support::{Config, Limpet, Target, config, poll};

const REFUSED_STREAM: u32 = 7;

/// A target that answers with the path, once the gate is open.
fn held(gate: &Arc<AtomicBool>) -> Target {
    let gate = Arc::clone(gate);
    Target::scripted(move |connection| {
        while let Some(request) = connection.next_request()? {
            poll(|| gate.load(Ordering::SeqCst).then_some(()));
            let (path, length) = (&request.target, request.target.len());
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}");
            connection.send(head.as_bytes())?;
        }
        Ok(())
    })
}

/// A connection with so many requests that their target holds, on the first streams.
fn busy((limpet, listener): (&Limpet, &str), target: &Target, count: u32) -> Frames {
    let mut client = Frames::begin(limpet.client_of(listener), &[]);
    let before = target.request_count();
    for at in 0..count {
        client.get(2 * at + 1, &format!("/{at}"));
    }
    target.wait_for_requests(before + count as usize);
    client
}

/// The next frame of any kind that says something about the end.
fn next_of_end(client: &mut Frames) -> Frame {
    loop {
        let frame = client.next().expect("a frame, and not the end of the connection");
        if matches!(frame.kind, GOAWAY | PING | RST_STREAM) {
            return frame;
        }
    }
}

/// limpet lets the connection end: the first GOAWAY closes nothing, and behind its PING the second one names the last
/// stream. `next` is the stream that the client has not opened yet; it and all before are answered, and no other.
fn goodbye(client: &mut Frames, (target, gate): (&Target, &AtomicBool), next: u32) {
    let first = next_of_end(client);
    assert_eq!(first.goodbye(), (WINDOW_MAX, 0));
    // A client that has read the PING has read the GOAWAY.
    let ping = next_of_end(client);
    assert_eq!(ping.kind, PING, "{ping:?}");
    let before = target.request_count();
    client.get(next, "/on-its-way").answer_ping(&ping);
    assert_eq!(next_of_end(client).goodbye(), (next, 0));
    target.wait_for_requests(before + 1);
    client.get(next + 2, "/too-late");
    let refused = next_of_end(client);
    assert!(refused.is(RST_STREAM, next + 2), "{refused:?}");
    assert_eq!(refused.payload, REFUSED_STREAM.to_be_bytes());
    gate.store(true, Ordering::SeqCst);
    let mut contents = HashSet::new();
    let mut ended = Vec::new();
    while let Some(frame) = client.next() {
        if !frame.payload.is_empty() && frame.kind == crate::support::http2::DATA {
            assert!(contents.insert(frame.payload.clone()), "answered twice: {frame:?}");
        }
        if frame.ends() {
            ended.push(frame.stream);
        }
        assert_ne!(frame.kind, RST_STREAM, "{frame:?}");
    }
    ended.sort_unstable();
    assert_eq!(ended, (1..=next).step_by(2).collect::<Vec<u32>>());
    assert_eq!(contents.len(), ended.len());
    let paths: Vec<String> = target.requests().into_iter().map(|request| request.target).collect();
    assert!(!paths.iter().any(|path| path == "/too-late"), "{paths:?}");
}

/// Every stream stands in the access log once.
fn assert_logged(limpet: &Limpet, count: usize) {
    let records = limpet.access_log(count);
    let ids: HashSet<u64> = records.iter().map(|record| record.number("stream") as u64).collect();
    assert_eq!(ids.len(), count, "{records:?}");
}

#[test]
fn the_last_request_of_a_connection_ends_it_by_goaway() {
    let gate = Arc::new(AtomicBool::new(false));
    let target = held(&gate);
    let web = clear("web").set("limits.requests_per_connection", 5);
    let limpet = config().listener(web).serving(&target).start();
    let mut client = busy((&limpet, "web"), &target, 5);
    goodbye(&mut client, (&target, &gate), 11);
    assert_logged(&limpet, 6);
    // Another one has its own count.
    assert_eq!(Frames::begin(limpet.client(), &[]).get(1, "/0").response(1).0, 200);
}

#[test]
fn a_connection_past_its_age_ends_by_goaway_whether_it_has_streams_or_none() {
    let gate = Arc::new(AtomicBool::new(false));
    let target = held(&gate);
    let web = clear("web").set("timeouts.connection_age", "1s");
    let limpet = config().listener(web).serving(&target).start();
    // The shard's clock is as new as the connection before.
    drop(busy((&limpet, "web"), &target, 1));
    let started = Instant::now();
    let mut idle = Frames::begin(limpet.client(), &[]);
    let mut client = busy((&limpet, "web"), &target, 3);
    goodbye(&mut client, (&target, &gate), 7);
    assert!(started.elapsed() >= Duration::from_millis(800), "{:?}", started.elapsed());
    assert_eq!(next_of_end(&mut idle).goodbye(), (WINDOW_MAX, 0));
    let ping = next_of_end(&mut idle);
    idle.answer_ping(&ping);
    assert_eq!(next_of_end(&mut idle).goodbye(), (0, 0));
    idle.client.assert_closed();
}

/// Writes the file anew and has it read.
fn reload(limpet: &Limpet, config: &Config) {
    limpet.write_config(&config.text());
    limpet.signal(libc::SIGHUP);
}

#[test]
fn a_listener_that_is_taken_away_says_goodbye_and_loses_nothing() {
    let gate = Arc::new(AtomicBool::new(false));
    let target = held(&gate);
    let both = config().listener(clear("web")).listener(clear("more")).serving(&target);
    let limpet = both.start();
    let mut client = busy((&limpet, "more"), &target, 4);
    reload(&limpet, &config().listener(clear("web")).serving(&target));
    goodbye(&mut client, (&target, &gate), 9);
    assert_logged(&limpet, 5);
    let mut stays = Frames::begin(limpet.client_of("web"), &[]);
    assert_eq!(stays.get(1, "/stays").response(1), (200, b"/stays".to_vec()));
}

#[test]
fn a_listener_that_no_longer_speaks_http_2_says_goodbye_and_loses_nothing() {
    let gate = Arc::new(AtomicBool::new(false));
    let target = held(&gate);
    let limpet = config().listener(clear("web")).serving(&target).start();
    let mut client = busy((&limpet, "web"), &target, 4);
    let mut idle = Frames::begin(limpet.client(), &[]);
    idle.round_trip();
    reload(&limpet, &config().serving(&target));
    goodbye(&mut client, (&target, &gate), 9);
    assert_logged(&limpet, 5);
    // Its next request is answered, and its last.
    idle.get(1, "/idle");
    assert_eq!(next_of_end(&mut idle).goodbye(), (WINDOW_MAX, 0));
    let ping = next_of_end(&mut idle);
    idle.answer_ping(&ping);
    let rest: Vec<Frame> = std::iter::from_fn(|| idle.next()).collect();
    assert!(rest.iter().any(|frame| frame.payload == b"/idle"), "{rest:?}");
}

#[test]
fn streams_that_the_grace_period_cuts_off_are_answered_and_logged() {
    let gate = Arc::new(AtomicBool::new(false));
    let (http1, http2) = (held(&gate), by_hand::target(&[], |_, _| Ok(())));
    let two = app().set("protocol_version", "http2").target("b", &http2);
    for (target, group) in [(&http1, app().target("a", &http1)), (&http2, two)] {
        let config = config().process("grace_period", "300ms").listener(clear("web"));
        let mut limpet = config.group(group).start();
        let mut client = Frames::begin(limpet.client(), &[]);
        for stream in [1, 3, 5] {
            client.get(stream, "/held");
        }
        target.wait_for_connections(1);
        client.round_trip();
        assert_eq!(limpet.stop().code(), Some(0));
        let frames: Vec<Frame> = std::iter::from_fn(|| client.next()).collect();
        assert!(frames.iter().all(|frame| frame.kind != RST_STREAM), "{frames:?}");
        let heads = frames.iter().filter(|frame| frame.kind == HEADERS);
        assert_eq!(heads.map(Frame::status).collect::<Vec<u16>>(), [503; 3]);
        let records = limpet.access_log(3);
        assert!(records.iter().all(|record| record.text("code") == "stopped"), "{records:?}");
    }
    gate.store(true, Ordering::SeqCst);
}

#[test]
fn a_reload_that_leaves_the_listener_ends_no_connection_and_its_streams_end_as_they_began() {
    let gate = Arc::new(AtomicBool::new(false));
    let (before, after) =
        (held(&gate), Target::fixed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nafter"));
    let limpet = config().listener(clear("web")).serving(&before).start();
    let mut client = busy((&limpet, "web"), &before, 2);
    reload(&limpet, &config().listener(clear("web")).group(app().target("b", &after)));
    let (mut stream, mut open) = (5, HashSet::from([1, 3]));
    poll(|| {
        // Some are still asked of the target before, and held.
        client.get(stream, "/next");
        open.insert(stream);
        stream += 2;
        let frames = client.round_trip();
        frames.iter().filter(|frame| frame.ends()).for_each(|frame| {
            open.remove(&frame.stream);
        });
        frames.iter().any(|frame| frame.payload == b"after").then_some(())
    })
    .expect("the new configuration");
    gate.store(true, Ordering::SeqCst);
    while !open.is_empty() {
        let frame = client.next_of_streams();
        assert!(!matches!(frame.kind, GOAWAY | RST_STREAM), "{frame:?}");
        if frame.ends() && frame.stream < 5 {
            assert_eq!(frame.payload, format!("/{}", frame.stream / 2).as_bytes());
        }
        if frame.ends() {
            open.remove(&frame.stream);
        }
    }
    assert_eq!(client.get(stream, "/last").response(stream).1, b"after");
}

#[test]
fn a_client_that_asks_again_what_was_not_processed_has_every_request_answered_once() {
    let target = Target::echo("a");
    let web = clear("web").set("limits.requests_per_connection", 7);
    let limpet = config().listener(web).serving(&target).start();
    let mut left: Vec<usize> = (0..100).collect();
    let mut connections = 0;
    play(async {
        while !left.is_empty() {
            let client = Http2::connect(limpet.address()).await;
            connections += 1;
            let mut waiting = Vec::new();
            for number in left.iter().take(10) {
                let path = format!("/{number}");
                // The goodbye may be faster than the tenth.
                let Ok(mut send) = client.send.clone().ready().await else { break };
                let uri = format!("http://limpet.test{path}");
                let request = Request::builder().method(Method::POST).uri(uri).body(()).unwrap();
                let Ok((response, _)) = send.send_request(request, true) else { break };
                waiting.push((*number, response));
            }
            for (number, response) in waiting {
                match answer(response).await {
                    Ok(answer) => {
                        assert_eq!(answer.status, 200);
                        left.retain(|other| *other != number);
                    }
                    Err(error) => assert!(
                        error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM),
                        "{error}"
                    ),
                }
            }
            drop(client.send);
            client.connection.await.unwrap().expect("a clean end");
        }
    });
    assert!((10..=15).contains(&connections), "{connections}");
    let mut asked: Vec<String> =
        target.requests().into_iter().map(|request| request.target).collect();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!((asked.len(), target.request_count()), (100, 100));
}
