//! Tasks and sleep: which task runs next, what wakes it, and what ends with an engine.

use crate::uring::tests::*;

#[test]
fn io_uring_is_there_or_refused_with_what_to_do() {
    match probe(Engine::IoUring) {
        Ok(()) => assert_eq!(run(Engine::IoUring, 8, async { 7 }).expect("run"), 7),
        Err(refused) => {
            assert!(!refused.cause.is_empty());
            assert!(refused.to_string().contains("process.engine"), "{refused}");
        }
    }
}

#[test]
fn a_run_gives_what_its_future_gives_and_ends_its_tasks() {
    let dropped = Rc::new(());
    on_each_engine(|| {
        let held = Rc::clone(&dropped);
        async move {
            let counted = Rc::clone(&held);
            spawn(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
            yield_now().await;
            assert!(Rc::strong_count(&counted) > 1);
        }
    });
    assert_eq!(Rc::strong_count(&dropped), 1);
}

#[test]
fn tasks_run_in_turns_and_sleep_keeps_its_time() {
    on_each_engine(|| async {
        let turns = Rc::new(Cell::new(0));
        let other = Rc::clone(&turns);
        spawn(async move { other.set(1) });
        assert_eq!(turns.get(), 0);
        yield_now().await;
        until("the task's turn", || turns.get() == 1).await;
        let began = Instant::now();
        sleep(began + Duration::from_millis(30)).await;
        assert!(began.elapsed() >= Duration::from_millis(30));
    });
}

#[test]
fn after_a_peak_the_tables_of_tasks_and_operations_are_as_small_as_before() {
    if probe(Engine::IoUring).is_err() {
        return;
    }
    let test = async {
        let ended = Rc::new(Cell::new(0));
        for _ in 0..10_000 {
            let ended = Rc::clone(&ended);
            spawn(async move {
                sleep(Instant::now() + Duration::from_millis(1)).await;
                ended.set(ended.get() + 1);
            });
        }
        yield_now().await;
        until("the end of all tasks", || ended.get() == 10_000).await;
        assert!(driver::capacity() >= 20_000, "they were all there at a time");
        (0..100).for_each(|_| trim());
        assert!(driver::capacity() < 2000, "{}", driver::capacity());
    };
    run(Engine::IoUring, 64, in_time(test)).expect("a ring");
}

#[test]
fn operations_wake_the_task_that_polled_last() {
    on_each_engine(|| async {
        let (socket, mut peer) = pair();
        let mut receive = socket.recv_any();
        assert!(is_pending(&mut receive));
        let mut receive = pin!(receive);
        let mut polls = 0;
        let received = poll_fn(|cx| {
            polls += 1;
            if polls == 1 {
                let _ = receive.as_mut().poll(cx);
                peer.write_all(b"x").expect("write");
                return Poll::Pending;
            }
            receive.as_mut().poll(cx)
        });
        assert_eq!(received.await.expect("receive"), b"x");
    });
}
