//! How each end of a tunnel ends, and what the other is told of it.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::*;
use crate::exchange::doubles::{Shard, SideDouble, SideState, file, play, poll};

const IDLE: Duration = Duration::from_secs(10);

type Running<'a> = Pin<Box<dyn Future<Output = Over> + 'a>>;

/// Runs a tunnel between two ends.
fn tunnel(main: impl AsyncFnOnce(&Shard, &SideState, &SideState, &mut Running<'_>)) {
    play(&file("", "", 1), async |shard| {
        let (client, target) = (Rc::<SideState>::default(), Rc::<SideState>::default());
        let timers = shard.timers();
        let sides = (SideDouble(Rc::clone(&client)), SideDouble(Rc::clone(&target)));
        let mut running: Running<'_> = Box::pin(run(&timers, sides.0, sides.1, IDLE));
        main(shard, &client, &target, &mut running).await;
        drop(running);
    });
}

/// How the tunnel has ended: what one direction does to a side is seen by the other when it is polled again.
fn over(running: &mut Running<'_>) -> Over {
    match poll(running) {
        Poll::Ready(over) => over,
        Poll::Pending => match poll(running) {
            Poll::Ready(over) => over,
            Poll::Pending => panic!("the tunnel goes on"),
        },
    }
}

fn reset(side: &SideState) {
    side.says.borrow_mut().push_back(Err(io::ErrorKind::ConnectionReset.into()));
}

#[test]
fn a_side_that_ends_has_the_other_told_so_and_goes_on_to_hear_it() {
    tunnel(async |_, client, target, running| {
        client.says("up");
        client.says("");
        assert!(poll(running).is_pending());
        assert_eq!(*target.was_sent.borrow(), b"up");
        assert!(target.was_told_end.get() && !client.was_told_end.get());
        target.says("down");
        assert!(poll(running).is_pending());
        assert_eq!(*client.was_sent.borrow(), b"down");
        target.says("");
        let over = over(running);
        assert_eq!((over.bytes_up, over.bytes_down, over.failure), (2, 4, None));
        assert!(over.client_was_told && client.was_told_end.get());
        assert!(target.is_ended.get() && !target.is_aborted.get() && !client.is_aborted.get());
    });
}

#[test]
fn a_reset_of_either_side_is_a_reset_to_the_other() {
    for (of_client, failure) in
        [(true, Failure::ClientGone), (false, Failure::TargetReset { any_byte: true })]
    {
        tunnel(async |_, client, target, running| {
            assert!(poll(running).is_pending());
            reset(if of_client { client } else { target });
            let over = over(running);
            assert_eq!(over.failure, Some(failure));
            assert!(client.is_aborted.get() && target.is_aborted.get());
            assert!(!over.client_was_told && !target.is_ended.get());
        });
    }
}

#[test]
fn who_was_told_of_a_clean_end_loses_nothing_by_what_is_cut_afterwards() {
    tunnel(async |_, client, target, running| {
        target.says("all there is");
        target.says("");
        assert!(poll(running).is_pending());
        reset(client);
        let over = over(running);
        assert_eq!(over.failure, Some(Failure::ClientGone));
        assert!(over.client_was_told && !client.is_aborted.get());
        assert!(target.is_aborted.get() && !target.is_ended.get());
    });
    tunnel(async |_, client, target, running| {
        client.says("");
        assert!(poll(running).is_pending());
        reset(target);
        let over = over(running);
        assert!(!over.client_was_told && client.is_aborted.get());
        assert!(!target.is_aborted.get() && target.is_ended.get());
    });
}

#[test]
fn a_side_that_takes_nothing_is_who_ended_it() {
    for (to_client, fault, failure) in [
        (true, SendFault::Timeout, Failure::ClientSendTimeout),
        (true, SendFault::Gone, Failure::ClientGone),
        (true, SendFault::Reset, Failure::ClientGone),
        (false, SendFault::Timeout, Failure::TargetSendTimeout),
        (false, SendFault::Gone, Failure::TargetReset { any_byte: true }),
    ] {
        tunnel(async |_, client, target, running| {
            let (from, to) = if to_client { (target, client) } else { (client, target) };
            to.fault.set(Some(fault));
            from.says("x");
            assert_eq!(over(running).failure, Some(failure), "{to_client}, {fault:?}");
        });
    }
}

#[test]
fn a_reset_of_either_side_is_found_while_the_other_takes_nothing() {
    for (of_client, failure) in
        [(true, Failure::ClientGone), (false, Failure::TargetReset { any_byte: true })]
    {
        tunnel(async |shard, client, target, running| {
            let (from, to) = if of_client { (client, target) } else { (target, client) };
            to.is_stalled.set(true);
            from.says("x");
            for at in [0, 499, 500, 999, 1000, 1500] {
                shard.at(at).await;
                assert!(poll(running).is_pending(), "at {at} ms");
                assert_eq!(u64::from(from.looks.get()), at / 500, "at {at} ms");
            }
            from.is_reset.set(true);
            shard.at(1999).await;
            assert!(poll(running).is_pending());
            shard.at(2000).await;
            assert_eq!(over(running).failure, Some(failure));
            assert!(client.is_aborted.get() && target.is_aborted.get());
            assert_eq!(to.looks.get(), 0, "who is sent to tells by that");
        });
    }
}

#[test]
fn a_reset_behind_the_end_of_either_side_is_found_while_the_other_says_nothing() {
    for (of_client, failure) in
        [(true, Failure::ClientGone), (false, Failure::TargetReset { any_byte: true })]
    {
        tunnel(async |shard, client, target, running| {
            let (gone, other) = if of_client { (client, target) } else { (target, client) };
            assert!(poll(running).is_pending());
            shard.at(3000).await;
            gone.says("");
            assert!(poll(running).is_pending());
            assert_eq!((gone.looks.get(), other.looks.get()), (0, 0), "both are listened to");
            shard.at(3500).await;
            assert!(poll(running).is_pending());
            gone.is_reset.set(true);
            shard.at(4000).await;
            let over = over(running);
            assert_eq!(over.failure, Some(failure));
            assert!(gone.is_aborted.get() && !other.is_aborted.get(), "who has all loses nothing");
            assert_eq!((over.client_was_told, target.is_ended.get()), (!of_client, of_client));
            assert_eq!(other.looks.get(), 0);
        });
    }
}

#[test]
fn no_side_is_looked_at_while_what_the_other_is_sent_is_taken() {
    tunnel(async |shard, client, target, running| {
        for at in [0, 2000, 4000] {
            shard.at(at).await;
            client.says("up");
            target.says("down");
            assert!(poll(running).is_pending());
        }
        assert_eq!((client.looks.get(), target.looks.get()), (0, 0));
    });
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_broken_off() {
    tunnel(async |shard, client, target, running| {
        assert!(poll(running).is_pending());
        shard.at(9_999).await;
        assert!(poll(running).is_pending());
        shard.at(10_000).await;
        let over = over(running);
        assert_eq!(over.failure, Some(Failure::TunnelIdle));
        assert!(client.is_aborted.get() && target.is_aborted.get());
    });
}

#[test]
fn bytes_in_one_direction_keep_the_other_open() {
    tunnel(async |shard, client, target, running| {
        assert!(poll(running).is_pending());
        for at in [8_000, 16_000, 24_000] {
            shard.at(at).await;
            client.says("still here");
            assert!(poll(running).is_pending());
        }
        shard.at(33_999).await;
        assert!(poll(running).is_pending());
        shard.at(34_000).await;
        assert_eq!(over(running).failure, Some(Failure::TunnelIdle));
        assert_eq!(target.was_sent.borrow().len(), 30);
    });
}

#[test]
fn an_idle_side_that_has_all_is_not_aborted_and_not_listened_to_any_further() {
    tunnel(async |shard, client, target, running| {
        target.says("");
        assert!(poll(running).is_pending());
        shard.at(10_000).await;
        let over = over(running);
        assert_eq!(over.failure, Some(Failure::TunnelIdle));
        assert!(over.client_was_told && !client.is_aborted.get());
        assert_eq!(client.is_listened_to.get(), Some(false));
    });
}

#[test]
fn a_tunnel_that_is_cut_off_says_that_the_process_stopped() {
    tunnel(async |shard, client, target, running| {
        assert!(poll(running).is_pending());
        shard.local.alarms.fire_all();
        assert_eq!(over(running).failure, Some(Failure::Stopped));
        assert!(client.is_aborted.get() && target.is_aborted.get());
    });
}

#[test]
fn much_is_expected_behind_a_full_buffer_and_little_behind_any_other() {
    tunnel(async |_, client, _, running| {
        for (text, is_bulk) in
            [("x".repeat(SMALL_BYTES), true), ("x".repeat(SMALL_BYTES - 1), false)]
        {
            client.says(&text);
            assert!(poll(running).is_pending());
            assert_eq!(client.is_bulk.get(), is_bulk, "behind {} bytes", text.len());
        }
    });
}
