//! How an upload ends, and how the target learns of it.

use std::rc::Rc;

use super::*;
use crate::exchange::doubles::{
    ClientDouble, HandleDouble, Sends, Shard, TargetState, file, play, poll,
};
use crate::http::refusal::ChunkFault;

const IDLE: Duration = Duration::from_secs(5);
const HEAD: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n";

/// Has a client send these pieces to a target, and returns how the upload has ended.
fn upload(
    says: &[Result<(&'static str, bool), Failure>],
    target: &Rc<TargetState>,
    at_ms: u64,
) -> UploadState {
    let state = Cell::new(UploadState::Running);
    play(&file("", "", 1), async |shard: &Shard| {
        let mut client = ClientDouble::new(HEAD);
        client.state.says.borrow_mut().extend(says);
        let timers = shard.timers();
        let upload = Upload {
            asking: &mut client.asks,
            sending: &mut Sends::new(target),
            target: &HandleDouble(Rc::clone(target)),
            state: &state,
            timers: &timers,
            idle: IDLE,
        };
        let mut run = Box::pin(upload.run());
        if poll(&mut run).is_pending() {
            shard.at(at_ms).await;
            let _ = poll(&mut run);
        }
        drop(run);
        if state.get() != UploadState::Running {
            assert!(!timers.is_any_set());
        }
    });
    state.get()
}

#[test]
fn an_upload_is_complete_with_the_end_of_the_content_and_not_before() {
    let target = TargetState::saying(&[]);
    assert_eq!(upload(&[Ok(("abc", false))], &target, 60_000), UploadState::Running);
    assert_eq!(target.text(), "abc");
    let target = TargetState::saying(&[]);
    let says = [Ok(("abc", false)), Ok(("def", true))];
    assert_eq!(upload(&says, &target, 0), UploadState::Complete);
    assert_eq!(target.text(), "abcdef");
    assert_eq!(target.end.take().as_deref(), Some(&b"X-Trailer: of the client\r\n"[..]));
    assert!(!target.is_aborted.get());
}

#[test]
fn an_end_that_comes_without_content_is_sent_and_a_piece_of_nothing_is_not() {
    let target = TargetState::saying(&[]);
    target.fault.set(Some(SendFault::Gone));
    assert_eq!(upload(&[Ok(("", false))], &target, 0), UploadState::Running);
    let target = TargetState::saying(&[]);
    assert_eq!(upload(&[Ok(("", false)), Ok(("", true))], &target, 0), UploadState::Complete);
    assert!(target.end.take().is_some());
}

#[test]
fn a_target_that_takes_no_more_stops_an_upload_and_one_that_resets_spoils_what_is_received() {
    use SendFault::{Gone, Reset, Timeout};
    for (first, then, ended) in [
        (Some(Gone), None, UploadState::TargetStopped),
        (Some(Reset), None, UploadState::TargetReset),
        (None, Some(Gone), UploadState::TargetStopped),
        (None, Some(Reset), UploadState::TargetReset),
        (None, Some(Timeout), UploadState::TargetTimeout),
    ] {
        let target = TargetState::saying(&[]);
        target.first_fault.set(first);
        target.fault.set(then);
        assert_eq!(upload(&[Ok(("abc", false))], &target, 0), ended, "{first:?}, {then:?}");
        assert!(!target.is_aborted.get(), "its response decides");
    }
}

#[test]
fn a_target_that_does_not_take_the_head_in_time_is_reset() {
    for (at_ms, ended) in [(4999, UploadState::Running), (5000, UploadState::TargetTimeout)] {
        let target = TargetState::saying(&[]);
        target.is_stalled.set(true);
        assert_eq!(upload(&[Ok(("abc", true))], &target, at_ms), ended);
        assert_eq!(target.is_aborted.get(), ended != UploadState::Running);
        assert_eq!(target.text(), "");
    }
}

#[test]
fn a_client_that_fails_has_the_target_see_a_failure_and_no_end() {
    for failure in [
        Failure::ClientGone,
        Failure::ClientContentTimeout,
        Failure::ContentTooLarge,
        Failure::ClientContentInvalid(ChunkFault::SizeEmpty),
    ] {
        let target = TargetState::saying(&[]);
        let says = [Ok(("abc", false)), Err(failure)];
        assert_eq!(upload(&says, &target, 0), UploadState::Failed(failure));
        assert!(target.is_aborted.get() && target.end.take().is_none());
    }
}
