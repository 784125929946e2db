//! Where a request's content ends, which bytes follow it, and when it is given up.

use std::time::Duration;

use super::*;
use crate::exchange::doubles::{Shard, file, play, poll};
use crate::http::refusal::ChunkFault;
use crate::transport::stream::Stream;
use crate::uring::simulated;
use crate::uring::{Shutdown, Socket};
use std::task::Poll;

const HEAD: &str = "POST / HTTP/1.1\r\n\r\n";

/// One request of a client that has sent `HEAD` and `along` already.
struct World<'s> {
    shard: &'s Shard,
    near: Stream,
    far: Socket,
    input: Input,
    content: Content,
}

fn with(
    listener: &str,
    (length, along): (ContentLength, &str),
    main: impl AsyncFnOnce(&mut World<'_>),
) {
    play(&file(listener, "", 1), async |shard| {
        let (near, far) = simulated::pair();
        let input = Input::new(format!("{HEAD}{along}").into_bytes());
        let mut content = Content::default();
        content.begin(HEAD.len(), length);
        let near = Stream::plain(near);
        main(&mut World { shard, near, far, input, content }).await;
    });
}

impl World<'_> {
    fn request(&mut self) -> Request<'_> {
        Request {
            client: &self.near,
            listener: &self.shard.listener,
            input: &mut self.input,
            content: &mut self.content,
        }
    }

    async fn says(&self, text: &str) {
        self.far.send(text.into(), 0, true).await.0.unwrap();
        simulated::wait(Duration::from_millis(1)).await;
    }

    async fn content(&mut self) -> Result<(String, End), Failure> {
        let timers = self.shard.timers();
        let received = self.request().content(&timers).await?;
        let Piece { buffer, from } = received.piece;
        assert_eq!(from, ROOM, "there is room for a chunk's size line");
        Ok((String::from_utf8_lossy(&buffer[from..]).into_owned(), received.end))
    }
}

/// The content that came along, whether it is complete, and the bytes behind it.
fn along(length: ContentLength, along: &str) -> Result<(String, bool, String), Failure> {
    let mut seen = Err(Failure::Stopped);
    with("", (length, along), async |world| {
        let mut request = world.request();
        seen = request.take_along().map(|()| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let along = request.along();
            assert_eq!(request.along().bytes, along.bytes, "the same each time");
            assert_eq!(request.received(), along.bytes.len() as u64);
            assert_eq!(request.is_whole(), along.is_whole());
            (text(along.bytes), along.is_whole(), text(request.early()))
        });
    });
    seen
}

#[test]
fn content_that_came_along_ends_as_its_framing_says() {
    use ContentLength::{Exact, None, Unknown};
    for (length, text, content, is_whole, early) in [
        (None, "", "", true, ""),
        (None, "GET", "", true, "GET"),
        (Exact(3), "", "", false, ""),
        (Exact(3), "ab", "ab", false, ""),
        (Exact(3), "abc", "abc", true, ""),
        (Exact(3), "abcGET", "abc", true, "GET"),
        (Unknown, "3\r\nab", "ab", false, ""),
        (Unknown, "3\r\nabc\r\n2\r\nde\r\n", "abcde", false, ""),
        (Unknown, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET", "abcde", true, "GET"),
    ] {
        let expected = (content.to_owned(), is_whole, early.to_owned());
        assert_eq!(along(length, text), Ok(expected), "{length:?}, {text:?}");
    }
    assert!(matches!(along(Unknown, "x\r\n"), Err(Failure::ClientContentInvalid(_))));
}

#[test]
fn trailers_stand_behind_the_last_chunk() {
    with("", (ContentLength::Unknown, "0\r\nX-Sum: 1\r\n\r\n"), async |world| {
        let mut request = world.request();
        request.take_along().unwrap();
        assert_eq!(request.along().end, Some(&b"X-Sum: 1\r\n"[..]));
    });
    with("", (ContentLength::Exact(0), ""), async |world| {
        let mut request = world.request();
        request.take_along().unwrap();
        assert_eq!(request.along().end, Some(&b""[..]));
    });
}

#[test]
fn chunked_content_is_refused_as_soon_as_it_is_longer_than_the_listener_allows() {
    let limit = "limits.content = \"4B\"";
    for (text, result) in [
        ("4\r\nabcd\r\n0\r\n\r\n", Ok(())),
        ("5\r\nabcde", Err(Failure::ContentTooLarge)),
        ("3\r\nabc\r\n2\r\nde\r\n", Err(Failure::ContentTooLarge)),
    ] {
        with(limit, (ContentLength::Unknown, text), async |world| {
            assert_eq!(world.request().take_along(), result, "{text:?}");
        });
    }
    with(limit, (ContentLength::Unknown, "3\r\nabc"), async |world| {
        world.request().take_along().unwrap();
        world.says("\r\n2\r\nde").await;
        assert_eq!(world.content().await, Err(Failure::ContentTooLarge));
    });
    with(limit, (ContentLength::Exact(6), "abcde"), async |world| {
        assert_eq!(world.request().take_along(), Ok(()), "a length was judged with its head");
        world.says("f").await;
        assert_eq!(world.content().await, Ok(("f".to_owned(), End::Last)));
    });
}

#[test]
fn what_a_client_sends_behind_its_content_is_kept_for_the_next_request() {
    with("", (ContentLength::Exact(6), "ab"), async |world| {
        world.request().take_along().unwrap();
        world.says("cd").await;
        assert_eq!(world.content().await, Ok(("cd".to_owned(), End::No)));
        assert_eq!(world.content.beyond.unread(), b"");
        world.says("efGET /").await;
        assert_eq!(world.content().await, Ok(("ef".to_owned(), End::Last)));
        assert_eq!(world.content.beyond.unread(), b"GET /");
        assert_eq!(world.content.extent.used, HEAD.len() + 2, "what came with the head");
        assert_eq!(world.request().received(), 6);
    });
    with("", (ContentLength::Unknown, "2\r\nab"), async |world| {
        world.request().take_along().unwrap();
        world.says("\r\n1\r\nc\r\n0\r\n\r\nGET /").await;
        assert_eq!(world.content().await, Ok(("c".to_owned(), End::Last)));
        assert_eq!(world.content.beyond.unread(), b"GET /");
    });
}

#[test]
fn a_client_that_ends_inside_its_content_is_gone() {
    for ends in [true, false] {
        with("", (ContentLength::Exact(6), "ab"), async |world| {
            world.request().take_along().unwrap();
            if ends {
                world.far.shutdown(Shutdown::Write);
            } else {
                world.far.abort();
            }
            assert_eq!(world.content().await, Err(Failure::ClientGone));
        });
    }
    with("", (ContentLength::Unknown, ""), async |world| {
        world.request().take_along().unwrap();
        world.says("g\r\n").await;
        let invalid = Failure::ClientContentInvalid(ChunkFault::SizeInvalid);
        assert_eq!(world.content().await, Err(invalid));
    });
}

#[test]
fn content_that_stops_coming_is_given_up_and_its_receive_is_kept() {
    with("timeouts.content_idle = \"3s\"", (ContentLength::Exact(6), ""), async |world| {
        world.request().take_along().unwrap();
        let (shard, timers) = (world.shard, world.shard.timers());
        {
            let mut request = world.request();
            let mut content = Box::pin(request.content(&timers));
            assert!(poll(&mut content).is_pending());
            shard.at(2999).await;
            assert!(poll(&mut content).is_pending());
            shard.at(3000).await;
            let Poll::Ready(late) = poll(&mut content) else { panic!("it waits") };
            assert_eq!(late.err(), Some(Failure::ClientContentTimeout));
        }
        assert!(!timers.is_any_set());
        assert!(matches!(world.content.late, NextReceive::Late(_)));
        world.says("late").await;
        assert_eq!(world.content.late.finish().await.unwrap().len(), ROOM + 4);
    });
}

#[test]
fn content_that_comes_slower_than_it_must_is_given_up() {
    let slow = "timeouts.content_idle = \"2s\"\ntimeouts.content_minimum_rate = \"2B\"";
    for (each, is_given_up) in [("x", true), ("xxx", false)] {
        with(slow, (ContentLength::Exact(100), ""), async |world| {
            world.request().take_along().unwrap();
            let (shard, timers) = (world.shard, world.shard.timers());
            let mut ended = None;
            for second in 1..=4 {
                let (near, far) = (&world.near, &world.far);
                let mut request = Request {
                    client: near,
                    listener: &shard.listener,
                    input: &mut world.input,
                    content: &mut world.content,
                };
                let mut content = Box::pin(request.content(&timers));
                assert!(poll(&mut content).is_pending());
                far.send(each.into(), 0, true).await.0.unwrap();
                shard.at(second * 1000).await;
                let Poll::Ready(result) = poll(&mut content) else { panic!("it waits") };
                ended = ended.or(result.err());
            }
            assert_eq!(ended.is_some(), is_given_up, "{each:?} a second");
            assert!(ended.is_none_or(|failure| failure == Failure::ClientContentTimeout));
        });
    }
}

#[test]
fn content_that_begins_anew_knows_nothing_of_the_request_before() {
    with("", (ContentLength::Unknown, "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), async |world| {
        world.request().take_along().unwrap();
        world.content.begin(HEAD.len(), ContentLength::Exact(2));
        let mut request = world.request();
        assert!(!request.is_whole() && request.received() == 0 && request.trailers() == b"");
        request.take_along().unwrap();
        assert_eq!(request.along().bytes.len(), 2);
    });
}
