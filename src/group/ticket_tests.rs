use crate::group::ticket::*;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread;

struct Unpark(thread::Thread, AtomicUsize);
impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

fn wait_for(mut ticket: Ticket) {
    let waker = Waker::from(Arc::new(Unpark(thread::current(), AtomicUsize::new(0))));
    let mut context = Context::from_waker(&waker);
    while Pin::new(&mut ticket).poll(&mut context).is_pending() {
        thread::park();
    }
}

fn is_ready(ticket: &mut Ticket) -> bool {
    Pin::new(ticket).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_full_line_admits_nobody() {
    let state = TargetState::detached(0);
    assert!(state.try_acquire(1));
    let first = state.join(1, 1);
    assert!(first.is_some());
    assert!(state.join(1, 1).is_none());
    assert!(state.join(1, 0).is_none());
    drop(first);
    assert!(state.join(1, 1).is_some());
}

#[test]
fn a_released_place_goes_to_the_first_in_line_without_becoming_free() {
    let state = TargetState::detached(0);
    assert!(state.try_acquire(1));
    let mut first = state.join(1, 8).expect("room");
    let mut second = state.join(1, 8).expect("room");
    assert!(!is_ready(&mut first) && !is_ready(&mut second));
    state.release();
    assert!(!state.try_acquire(1), "the place was handed over");
    assert!(!is_ready(&mut second));
    assert!(is_ready(&mut first));
    assert_eq!((state.in_flight(), state.waiting.len()), (1, 1));
    drop(first);
    assert_eq!(state.in_flight(), 1, "a spent ticket releases nothing");
    state.release();
    assert!(is_ready(&mut second));
    state.release();
    assert_eq!(state.in_flight(), 0);
}

#[test]
fn who_joins_after_the_last_release_is_served_at_once() {
    let state = TargetState::detached(0);
    assert!(state.try_acquire(1));
    state.release();
    let mut ticket = state.join(1, 1).expect("room");
    assert!(is_ready(&mut ticket));
    assert_eq!(state.in_flight(), 1);
}

#[test]
fn the_waker_is_woken_by_the_hand_over() {
    let state = TargetState::detached(0);
    assert!(state.try_acquire(1));
    let mut ticket = state.join(1, 1).expect("room");
    let counter = Arc::new(Unpark(thread::current(), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&counter));
    assert!(Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker)).is_pending());
    state.release();
    assert_eq!(counter.1.load(Ordering::SeqCst), 1);
}

/// Steps of one holder that releases, and one request that joins and perhaps gives up: in every possible order, the
/// place ends up either with the waiting request or free.
#[test]
fn no_order_of_release_join_and_drop_loses_or_doubles_a_place() {
    for order in ["RJD", "JRD", "JDR", "RJP", "JRP", "JPR", "JPRP"] {
        let state = TargetState::detached(0);
        assert!(state.try_acquire(1));
        let mut ticket = None;
        let mut owned = false;
        for step in order.chars() {
            match step {
                'R' => state.release(),
                'J' => ticket = state.join(1, 1),
                'P' => owned = ticket.as_mut().is_some_and(is_ready),
                _ => drop(ticket.take()),
            }
        }
        if owned || ticket.as_mut().is_some_and(is_ready) {
            state.release();
        }
        drop(ticket);
        assert_eq!((state.in_flight(), state.waiting.len()), (0, 0), "order {order}");
        assert!(state.try_acquire(1), "order {order}");
    }
}

#[test]
fn a_raised_limit_is_used_by_the_next_who_joins() {
    let state = TargetState::detached(0);
    assert!(state.try_acquire(1));
    let mut first = state.join(1, 4).expect("room");
    let mut second = state.join(3, 4).expect("room");
    assert!(is_ready(&mut first) && is_ready(&mut second));
    assert_eq!(state.in_flight(), 3);
}

#[test]
fn across_threads_the_limit_holds_and_everyone_is_served() {
    const LIMIT: u32 = 2;
    const THREADS: usize = 6;
    const ROUNDS: usize = 2_000;
    let state = TargetState::detached(0);
    let inside = AtomicU32::new(0);
    let refused = AtomicUsize::new(0);
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (state, inside, refused, start) = (&state, &inside, &refused, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..ROUNDS {
                    if !state.try_acquire(LIMIT) {
                        match state.join(LIMIT, 4) {
                            // Some give up at once, racing with the hand-over.
                            Some(ticket) if (round + number) % 5 == 0 => {
                                drop(ticket);
                                continue;
                            }
                            Some(ticket) => wait_for(ticket),
                            None => {
                                refused.fetch_add(1, Ordering::Relaxed);
                                continue;
                            }
                        }
                    }
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < LIMIT);
                    if round % 7 == 0 {
                        thread::yield_now();
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                    state.release();
                }
            });
        }
    });
    assert_eq!((state.in_flight(), state.waiting.len()), (0, 0));
    assert!(state.try_acquire(1));
}
