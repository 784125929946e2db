//! Turns on the simulated engine, whose clock stands still while they compute.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::transport::tls::line::TooLong;
use crate::transport::tls::turns::{Computes, Turns};
use crate::uring::simulated::{Knobs, run, wait};
use crate::uring::{spawn, yield_now};

fn compute(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {}
}

#[test]
fn they_come_in_the_order_of_asking_and_one_in_a_turn_of_the_loop() {
    run(1, Knobs::default(), async {
        let turns = Rc::new(Turns::default());
        let (loops, order) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
        for number in 0..5 {
            let (turns, loops, order) = (Rc::clone(&turns), Rc::clone(&loops), Rc::clone(&order));
            spawn(async move {
                let _turn = turns.turn(Computes::Here).await.unwrap();
                order.borrow_mut().push((number, loops.get()));
            });
        }
        while order.borrow().len() < 5 {
            loops.set(loops.get() + 1);
            yield_now().await;
        }
        let order = order.borrow();
        assert!(order.iter().map(|(number, _)| *number).eq(0..5), "{order:?}");
        assert!(order.is_sorted_by(|a, b| a.1 < b.1), "two in one turn: {order:?}");
        assert!(turns.line.is_empty());
    });
}

#[test]
fn other_work_has_as_much_time_as_they_take() {
    run(1, Knobs::default(), async {
        let turns = Rc::new(Turns::default());
        let spans = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..4 {
            let (turns, spans) = (Rc::clone(&turns), Rc::clone(&spans));
            spawn(async move {
                let _turn = turns.turn(Computes::Here).await.unwrap();
                let began = Instant::now();
                compute(Duration::from_millis(3));
                spans.borrow_mut().push((began, Instant::now()));
            });
        }
        while spans.borrow().len() < 4 {
            // A step of other work takes longer than an idle turn of the loop.
            compute(Duration::from_micros(100));
            yield_now().await;
        }
        for pair in spans.borrow().windows(2) {
            let [(began, ended), (next, _)] = *pair else { panic!("two spans") };
            let (cost, between) = (ended - began, next - ended);
            assert!(between >= cost, "{between:?} after {cost:?}");
        }
    });
}

#[test]
fn who_gives_up_lets_the_next_one_in() {
    run(1, Knobs::default(), async {
        let turns = Rc::new(Turns::default());
        let first = turns.turn(Computes::Here).await.unwrap();
        let has_come = Rc::new(Cell::new(false));
        let (waits, comes) = (Rc::clone(&turns), Rc::clone(&has_come));
        spawn(async move {
            assert_eq!(waits.turn(Computes::Here).await.err(), Some(TooLong));
            comes.set(true);
        });
        wait(Duration::from_secs(31)).await;
        assert!(has_come.get());
        drop(first);
        assert!(turns.turn(Computes::Here).await.is_ok());
        assert!(turns.line.is_empty());
    });
}
