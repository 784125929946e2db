//! Places of handshakes on the simulated engine. Silence is measured by the real clock, which tests wait for.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::transport::tls::line::TooLong;
use crate::transport::tls::places::{Limits, Places, SILENT};
use crate::transport::tls::turns::Computes;
use crate::uring::simulated::{Knobs, pair, run, wait};
use crate::uring::{Socket, spawn, yield_now};

const TWO: Limits = Limits { count: 2, per_second: 0 };

/// Has `socket` come for a place; the cell says whether it has one, and keeps it while it is `true`.
fn comes(places: &Rc<Places>, socket: &Socket, limits: Limits) -> Rc<Cell<Option<bool>>> {
    let state = Rc::new(Cell::new(None));
    let (places, socket, noted) = (Rc::clone(places), socket.clone(), Rc::clone(&state));
    spawn(async move {
        match places.place(&socket, limits).await {
            Ok(_place) => {
                noted.set(Some(true));
                while noted.get() == Some(true) {
                    wait(Duration::from_millis(1)).await;
                }
            }
            Err(TooLong) => noted.set(Some(false)),
        }
    });
    state
}

async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[test]
fn beyond_the_limit_a_newcomer_waits_until_one_has_ended() {
    run(1, Knobs::default(), async {
        let places = Rc::new(Places::default());
        let (near, _far) = pair();
        let all: Vec<_> = (0..4).map(|_| comes(&places, &near, TWO)).collect();
        settle().await;
        let states = || all.iter().map(|one| one.get()).collect::<Vec<_>>();
        assert_eq!(states(), [Some(true), Some(true), None, None]);
        all[1].set(None);
        wait(Duration::from_millis(5)).await;
        assert_eq!(states(), [Some(true), None, Some(true), None], "in the order of arrival");
        for one in &all {
            one.set(None);
        }
        wait(Duration::from_millis(5)).await;
        assert_eq!(states()[3], Some(true));
        all[3].set(None);
        wait(Duration::from_millis(5)).await;
        assert_eq!(places.count(), 0);
    });
}

#[test]
fn the_most_silent_is_closed_for_a_newcomer_but_nobody_who_waits_for_limpet() {
    run(1, Knobs::default(), async {
        let places = Rc::new(Places::default());
        let ((waits, _a), (silent, other_end), (new, _c)) = (pair(), pair(), pair());
        let first = places.place(&waits, TWO).await.unwrap();
        let second = places.place(&silent, TWO).await.unwrap();
        let turn = places.turns.turn(Computes::Here).await.unwrap();
        let (hold, is_held) = (Rc::new(Cell::new(true)), comes(&places, &new, TWO));
        let mut in_line = std::pin::pin!(first.turn(Computes::Here));
        std::future::poll_fn(|cx| {
            assert!(in_line.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        settle().await;
        assert!(!second.is_closed(), "it has not been silent for long");
        for taken in &mut *places.taken.borrow_mut() {
            taken.silent_since = taken.silent_since.and_then(|since| since.checked_sub(SILENT));
        }
        wait(Duration::from_millis(200)).await;
        assert!(!second.is_closed(), "nobody has overtaken it");
        places.answered_since.set(Some(Instant::now()));
        wait(Duration::from_millis(200)).await;
        assert!(second.is_closed());
        assert!(!first.is_closed(), "it waits for its turn");
        assert!(other_end.recv_any().await.unwrap().is_empty(), "its peer sees the end");
        drop(second);
        wait(Duration::from_millis(60)).await;
        assert_eq!(is_held.get(), Some(true));
        drop(turn);
        hold.set(false);
        is_held.set(None);
        assert!(in_line.await.is_ok());
        wait(Duration::from_millis(5)).await;
    });
}

#[test]
fn a_silence_counts_for_more_where_most_handshakes_fail() {
    run(1, Knobs::default(), async {
        let places = Rc::new(Places::default());
        let ((silent, _a), (new, _b)) = (pair(), pair());
        // Clients come back, then others begin handshakes and go away.
        for succeeds in [true, true, true, false, false, false, false] {
            let place = places.place(&silent, TWO).await.unwrap();
            if succeeds {
                place.succeed();
            }
        }
        places.answered_since.set(None);
        let held = places.place(&silent, TWO).await.unwrap();
        let other = places.place(&silent, TWO).await.unwrap();
        let comes = comes(&places, &new, TWO);
        settle().await;
        for taken in &mut *places.taken.borrow_mut() {
            taken.silent_since = taken.silent_since.and_then(|since| since.checked_sub(SILENT));
        }
        wait(Duration::from_millis(200)).await;
        assert!(held.is_closed(), "nobody has overtaken it, but hardly anybody succeeds");
        assert!(other.is_closed(), "while nobody has left, every look closes one");
        drop((held, other));
        wait(Duration::from_millis(60)).await;
        assert_eq!(comes.get(), Some(true));
        comes.set(None);
        wait(Duration::from_millis(5)).await;
        // However many have failed, as many successes as there are in the memory are enough.
        for _ in 0..1_000 {
            drop(places.place(&new, TWO).await.unwrap());
        }
        for _ in 0..64 {
            places.place(&new, TWO).await.unwrap().succeed();
        }
        assert_eq!(places.outcomes.get(), 0);
    });
}

#[test]
fn a_rate_spreads_them() {
    run(1, Knobs::default(), async {
        let places = Rc::new(Places::default());
        let (near, _far) = pair();
        let limits = Limits { count: 10, per_second: 2_000 };
        let began = Instant::now();
        for _ in 0..6 {
            drop(places.place(&near, limits).await.unwrap());
        }
        assert!(began.elapsed() >= Duration::from_micros(2_500), "{:?}", began.elapsed());
    });
}

#[test]
fn a_newcomer_waits_for_half_a_minute_at_most() {
    run(1, Knobs::default(), async {
        let places = Rc::new(Places::default());
        let (near, _far) = pair();
        let held = places.place(&near, Limits { count: 1, per_second: 0 }).await.unwrap();
        let turned_away = comes(&places, &near, Limits { count: 1, per_second: 0 });
        wait(Duration::from_secs(31)).await;
        assert_eq!(turned_away.get(), Some(false));
        drop(held);
        assert!(places.place(&near, Limits { count: 1, per_second: 0 }).await.is_ok());
    });
}
