//! Windows at their limits, and random exchanges with a peer that keeps its own account.

use proptest::prelude::*;

use super::*;

const BUDGET: u32 = 1 << 20;
const SIZE: u32 = 1 << 16;
const SIZE_MAX: u32 = 1 << 20;

#[test]
fn a_send_window_goes_from_negative_to_31_bits() {
    let mut window = SendWindow::new(WINDOW_DEFAULT);
    window.send(65_535);
    assert_eq!(window.open(), 0);
    assert_eq!(window.grow(MAX_31), Ok(()));
    assert_eq!(window.open(), MAX_31);
    assert_eq!(window.grow(1), Err(Overflow));
    assert_eq!(window.open(), MAX_31);

    // RFC 9113 §6.9.2: the example of a window that becomes negative.
    let mut window = SendWindow::new(65_535);
    window.send(60 * 1024);
    assert_eq!(window.shift(16 * 1024 - 65_535), Ok(()));
    assert_eq!(window, SendWindow(16 * 1024 - 60 * 1024));
    assert_eq!(window.open(), 0);
    assert_eq!(window.grow(44 * 1024), Ok(()));
    assert_eq!(window.open(), 0);
    assert_eq!(window.grow(1), Ok(()));
    assert_eq!(window.open(), 1);

    let mut window = SendWindow::new(MAX_31);
    assert_eq!(window.shift(1), Err(Overflow));
    assert_eq!(window.shift(-i64::from(MAX_31)), Ok(()));
    assert_eq!(window.open(), 0);
}

#[test]
fn more_than_a_window_is_an_error_of_its_owner() {
    let mut connection = ReceiveConnection::new(BUDGET);
    let mut stream = connection.open_stream(100);
    assert_eq!(connection.receive(&mut stream, 100, 90), Ok(()));
    assert_eq!((stream.held(), connection.held()), (90, 90));
    let more = connection.receive(&mut stream, 1, 1);
    assert_eq!(more, Err(FrameFault::StreamWindowExceeded));
    assert_eq!((stream.held(), connection.held()), (90, 90));
    let mut large = connection.open_stream(MAX_31);
    let more = connection.receive(&mut large, WINDOW_DEFAULT - 100, 1);
    assert_eq!(more, Err(FrameFault::ConnectionWindowExceeded));
    assert_eq!(connection.receive(&mut large, WINDOW_DEFAULT - 101, 1), Ok(()));
    assert_eq!(connection.discard(1), Err(FrameFault::ConnectionWindowExceeded));
}

#[test]
fn a_stream_that_is_passed_on_grows_within_the_budget_and_one_that_stalls_does_not() {
    let mut pool = Pool::new(1 << 26);
    let mut connection = ReceiveConnection::new(BUDGET);
    let mut stream = connection.open_stream(SIZE);
    let mut peer = (i64::from(WINDOW_DEFAULT), i64::from(SIZE));
    for _ in 0..1_000 {
        let bytes = peer.0.min(peer.1).min(16_384) as u32;
        assert!(bytes > 0, "an upload that is passed on never stops");
        connection.receive(&mut stream, bytes, bytes).expect("within the windows");
        stream.take(bytes, &mut connection);
        peer.0 += i64::from(connection.update(&mut pool).unwrap_or(0)) - i64::from(bytes);
        let more = stream.update(SIZE_MAX, &mut connection).unwrap_or(0);
        peer.1 += i64::from(more) - i64::from(bytes);
    }
    assert_eq!(stream.size(), BUDGET - BUDGET / 4);

    let mut stalled = connection.open_stream(SIZE);
    connection.receive(&mut stalled, SIZE, SIZE).expect("within the windows");
    assert_eq!(stalled.update(SIZE_MAX, &mut connection), None);
    assert_eq!(stalled.size(), SIZE);
}

#[test]
fn a_stream_stalled_at_its_largest_window_leaves_the_others_a_part_of_the_connection() {
    let mut pool = Pool::new(1 << 26);
    let mut connection = ReceiveConnection::new(BUDGET);
    let mut stalled = connection.open_stream(SIZE);
    // It grows, and then nothing of it is taken any more.
    for _ in 0..200 {
        connection.receive(&mut stalled, 8_192, 8_192).expect("within the windows");
        stalled.take(8_192, &mut connection);
        stalled.update(SIZE_MAX, &mut connection);
        connection.update(&mut pool);
    }
    while stalled.open > 0 {
        let bytes = stalled.open.min(8_192) as u32;
        connection.receive(&mut stalled, bytes, bytes).expect("within the windows");
        connection.update(&mut pool);
    }
    assert!(connection.held() >= SIZE * 8);
    // The others go on for as long as they like.
    for _ in 0..1_000 {
        let mut other = connection.open_stream(SIZE);
        connection.receive(&mut other, 16_384, 16_384).expect("within the windows");
        other.take(16_384, &mut connection);
        connection.update(&mut pool);
        connection.close_stream(&mut other);
    }
}

#[test]
fn streams_that_nobody_takes_from_never_shut_a_targets_connection() {
    const STREAMS: u32 = 100;
    const EACH: u32 = 64 * 1024;
    let mut pool = Pool::new(1 << 26);
    let mut connection = ReceiveConnection::for_streams(BUDGET, STREAMS, EACH);
    // One has grown as far as it may before, and then is stalled as all others but one are.
    let mut large = connection.open_stream(EACH);
    for _ in 0..1_000 {
        let bytes = (large.open as u32).min(connection.open).min(16_000);
        connection.receive(&mut large, bytes, bytes).expect("within the windows");
        large.take(bytes, &mut connection);
        large.update(MAX_31, &mut connection);
        connection.update(&mut pool);
    }
    assert!(large.size() > BUDGET / 2, "{}", large.size());
    let mut stalled: Vec<ReceiveStream> =
        (2..STREAMS).map(|_| connection.open_stream(EACH)).collect();
    for stream in stalled.iter_mut().chain([&mut large]) {
        while stream.open > 0 {
            let bytes = (stream.open as u32).min(connection.open).min(16_000);
            assert!(bytes > 0, "the connection's window is shut");
            connection.receive(stream, bytes, bytes).expect("within the windows");
            connection.update(&mut pool);
        }
    }
    let mut last = connection.open_stream(EACH);
    for _ in 0..1_000 {
        let bytes = (last.open as u32).min(16_000);
        connection.receive(&mut last, bytes, bytes).expect("within the windows");
        last.take(bytes, &mut connection);
        last.update(MAX_31, &mut connection);
        connection.update(&mut pool);
    }
}

#[test]
fn an_empty_pool_leaves_every_connection_what_the_rfc_gives() {
    let mut pool = Pool::new(0);
    let mut connection = ReceiveConnection::new(BUDGET);
    for _ in 0..100 {
        connection.discard(40_000).expect("within the window");
        assert_eq!(connection.update(&mut pool), Some(40_000));
    }
    assert_eq!(connection.open, WINDOW_DEFAULT);
}

#[test]
fn a_changed_initial_window_reaches_the_streams_that_are_open() {
    let mut connection = ReceiveConnection::new(BUDGET);
    let mut stream = connection.open_stream(SIZE);
    connection.receive(&mut stream, 1_000, 1_000).expect("within the windows");
    stream.shift(-i64::from(SIZE), &mut connection);
    assert_eq!((stream.size(), stream.open, connection.promised), (0, -1_000, 0));
    stream.shift(2_000, &mut connection);
    assert_eq!(connection.receive(&mut stream, 1_001, 0), Err(FrameFault::StreamWindowExceeded));
    assert_eq!(connection.receive(&mut stream, 1_000, 0), Ok(()));
}

/// What happens to one of eight streams.
#[derive(Debug, Clone)]
enum Step {
    Send {
        bytes: u32,
        padding: u32,
    },
    Take {
        bytes: u32,
    },
    /// Reset, or the end of its content; another one takes its place.
    Close,
    Idle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u32..70_000, 0_u32..256).prop_map(|(bytes, padding)| Step::Send { bytes, padding }),
        4 => (0_u32..200_000).prop_map(|bytes| Step::Take { bytes }),
        1 => Just(Step::Close),
        1 => Just(Step::Idle),
    ]
}

/// Both sides of a connection: limpet's account, and the windows as the peer knows them.
struct Both {
    pool: Pool,
    connection: ReceiveConnection,
    streams: Vec<(ReceiveStream, i64)>,
    /// Streams that were closed and still hold something.
    closed: Vec<ReceiveStream>,
    peer: i64,
}

impl Both {
    fn new(pool: u64) -> Both {
        let mut connection = ReceiveConnection::new(BUDGET);
        let streams = (0..8).map(|_| (connection.open_stream(SIZE), i64::from(SIZE))).collect();
        let peer = i64::from(WINDOW_DEFAULT);
        Both { pool: Pool::new(pool), connection, streams, closed: Vec::new(), peer }
    }

    fn step(&mut self, at: usize, step: &Step) {
        let (stream, peer) = &mut self.streams[at];
        match *step {
            Step::Send { bytes, padding } => {
                let allowed = self.peer.min(*peer).max(0) as u32;
                let flow = (bytes + padding).min(allowed);
                let content = flow.saturating_sub(padding);
                self.connection.receive(stream, flow, content).expect("within the windows");
                *peer -= i64::from(flow);
                self.peer -= i64::from(flow);
            }
            Step::Take { bytes } => {
                stream.take(bytes.min(stream.held()), &mut self.connection);
                let more = stream.update(SIZE_MAX, &mut self.connection);
                *peer += i64::from(more.unwrap_or(0));
            }
            Step::Close => {
                self.connection.close_stream(stream);
                self.closed.push(*stream);
                *stream = self.connection.open_stream(SIZE);
                *peer = i64::from(SIZE);
            }
            Step::Idle => self.connection.shrink(),
        }
        self.peer += i64::from(self.connection.update(&mut self.pool).unwrap_or(0));
    }

    fn check(&self, pool: u64) {
        let connection = &self.connection;
        assert_eq!(self.peer, i64::from(connection.open));
        assert!(connection.open + connection.held <= BUDGET);
        assert!(self.pool.free + u64::from(connection.needed()) <= pool);
        assert_eq!(self.pool.free + u64::from(connection.drawn), pool);
        let streams = self.streams.iter().map(|(stream, _)| stream).chain(&self.closed);
        assert_eq!(streams.map(ReceiveStream::held).sum::<u32>(), connection.held);
        for (stream, peer) in &self.streams {
            assert_eq!(stream.open, *peer);
            assert!(stream.open + i64::from(stream.held) <= i64::from(stream.size));
        }
    }
}

proptest! {
    #[test]
    fn windows_return_to_where_they_began(
        steps in proptest::collection::vec((0_usize..8, step()), 1..300),
        pool in prop_oneof![Just(0_u64), Just(100_000), Just(1 << 26)],
    ) {
        let mut both = Both::new(pool);
        for (at, step) in &steps {
            both.step(*at, step);
            both.check(pool);
        }
        // Every stream is closed, and what is held is taken.
        for (mut stream, _) in std::mem::take(&mut both.streams) {
            both.connection.close_stream(&mut stream);
            both.closed.push(stream);
        }
        for mut stream in std::mem::take(&mut both.closed) {
            stream.take(stream.held(), &mut both.connection);
            prop_assert_eq!(stream.update(SIZE_MAX, &mut both.connection), None);
        }
        prop_assert_eq!((both.connection.held(), both.connection.promised), (0, 0));
        both.connection.update(&mut both.pool);
        prop_assert!(both.connection.open > both.connection.size.min(WINDOW_DEFAULT) / 2);
        both.connection.end(&mut both.pool);
        prop_assert_eq!(both.pool.free(), pool);
    }
}
