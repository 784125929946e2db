//! The deadlines of one exchange, each under its own name, so that none overwrites another.
//!
//! One alarm wakes for whichever comes first. Several waits may go on at once in the task (an upload beside a
//! response); each asks for its own timer.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::alarms::{Alarm, Waits};
use super::clock::{Clock, Millis, NEVER};

/// The step of an exchange that a deadline bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// A whole request head.
    Head,
    /// More of a request's content, from the client.
    Content,
    /// Progress in sending a request to the target.
    Upload,
    /// A place on a target.
    Queue,
    /// A connection to a target.
    Connect,
    /// The head of a response.
    Response,
    /// More of a response's content, from the target.
    ResponseContent,
    /// Progress in sending a response to the client.
    Send,
    /// The next look at a client that gives no other sign of whether it is still there.
    Look,
    /// How long a client that has ended its side may remain before it counts as gone.
    Gone,
    /// Bytes of either side in a tunnel, one timer for each of its directions.
    TunnelUp,
    TunnelDown,
    /// The next look at whether a response's last send has ended.
    Settle,
    /// The next request.
    Idle,
    /// The end of a connection that is being closed.
    Linger,
    /// The end of a whole call of gRPC, from its head on.
    Call,
}

const COUNT: usize = Timer::Call as usize + 1;
/// The lowest of the bits for timers that are due.
const DUE: u32 = 16;

/// A set of timers.
pub struct Timers<'a> {
    alarm: &'a Alarm,
    pub clock: &'a Clock,
    at_ms: [Cell<Millis>; COUNT],
    /// Which timers are set, a bit each; the bits from [`DUE`] on mark those whose time has come, until they are set
    /// anew or stopped.
    state: Cell<u32>,
    /// Which timers were brought forward, a bit each.
    hastened: Cell<u32>,
    /// The time for which the alarm is armed. When it fires earlier, it was forced to.
    armed_ms: Cell<Millis>,
}

#[inline]
fn bit(timer: Timer) -> u32 {
    1 << timer as u32
}

/// The numbers of the timers in a mask.
fn each(mask: u32) -> impl Iterator<Item = usize> {
    let mut left = mask;
    std::iter::from_fn(move || {
        let first = left.trailing_zeros() as usize;
        left &= left.wrapping_sub(1);
        (first < COUNT).then_some(first)
    })
}

impl<'a> Timers<'a> {
    /// Begins with no timer set; `alarm` must not be used for anything else meanwhile.
    pub fn new(alarm: &'a Alarm, clock: &'a Clock) -> Timers<'a> {
        Timers {
            alarm,
            clock,
            at_ms: [const { Cell::new(NEVER) }; COUNT],
            state: Cell::new(0),
            hastened: Cell::new(0),
            armed_ms: Cell::new(NEVER),
        }
    }

    /// Sets a timer, replacing its earlier time.
    #[inline]
    pub fn set(&self, timer: Timer, at_ms: Millis) {
        let earliest_ms = self.note(timer, at_ms);
        self.alarm.set(earliest_ms);
    }

    /// As [`Self::set`] where the task waits for a request.
    pub fn set_waiting(&self, timer: Timer, at_ms: Millis, waits: Waits) {
        let earliest_ms = self.note(timer, at_ms);
        self.alarm.set_waiting(earliest_ms, waits);
    }

    /// Notes a timer's time, and returns the time for which the alarm is to be armed.
    #[inline]
    fn note(&self, timer: Timer, at_ms: Millis) -> Millis {
        if let Some(at) = self.at_ms.get(timer as usize) {
            at.set(at_ms);
        }
        let state = (self.state.get() | bit(timer)) & !(bit(timer) << DUE);
        self.state.set(state);
        // Mostly it is the only timer that is set.
        let earliest_ms = if state == bit(timer) { at_ms } else { self.earliest_ms() };
        self.armed_ms.set(earliest_ms);
        earliest_ms
    }

    /// Stops a timer. The alarm stays armed: if it fires for nothing, it is armed anew.
    #[inline]
    pub fn stop(&self, timer: Timer) {
        self.state.set(self.state.get() & !(bit(timer) | bit(timer) << DUE));
    }

    /// Brings the time of a timer that is set forward to `at_ms`, if it is later.
    pub fn hasten(&self, timer: Timer, at_ms: Millis) {
        let Some(before_ms) = self.at(timer) else { return };
        self.hastened.set(self.hastened.get() | bit(timer));
        if at_ms < before_ms {
            self.set(timer, at_ms);
        }
    }

    /// Whether somebody has wanted an earlier end of the timer's wait, since the last call.
    pub fn was_hastened(&self, timer: Timer) -> bool {
        let hastened = self.hastened.get();
        self.hastened.set(hastened & !bit(timer));
        hastened & bit(timer) != 0
    }

    /// When a timer that is set comes due.
    #[inline]
    pub fn at(&self, timer: Timer) -> Option<Millis> {
        let at = self.at_ms.get(timer as usize)?;
        (self.state.get() & bit(timer) != 0).then_some(at.get())
    }

    /// Whether its time has come; if not, the task is woken when it does. Does not affect other timers.
    #[inline]
    pub fn poll_due(&self, timer: Timer, cx: &mut Context<'_>) -> bool {
        if self.alarm.poll_fired(cx) {
            self.fired();
        }
        self.state.get() & bit(timer) << DUE != 0
    }

    /// Whether any timer is due.
    #[inline]
    pub fn is_any_due(&self) -> bool {
        self.state.get() >> DUE != 0
    }

    /// Whether everything is being cut off, so that timers are due before their own deadlines.
    #[inline]
    pub fn is_cut_off(&self) -> bool {
        self.alarm.is_cut_off()
    }

    /// Whether any timer is set but that of a whole call, which outlives its exchange.
    pub fn is_any_set(&self) -> bool {
        self.state.get() & !(bit(Timer::Call) | bit(Timer::Call) << DUE) != 0
    }

    /// Whether the time of a timer has passed that is set.
    pub fn is_past(&self, timer: Timer) -> bool {
        self.at(timer).is_some_and(|at_ms| at_ms <= self.clock.now_ms())
    }

    /// Handles a firing of the alarm: timers whose time has come are due, or, when it was forced, all that are set.
    #[cold]
    fn fired(&self) {
        let now_ms = self.clock.now_ms();
        let is_made_to = self.is_cut_off() || now_ms < self.armed_ms.get();
        let mut state = self.state.get();
        for at in each(state) {
            let is_due = is_made_to || self.at_ms.get(at).is_some_and(|at| at.get() <= now_ms);
            state |= u32::from(is_due) << DUE << at;
        }
        self.state.set(state);
        let earliest_ms = self.earliest_ms();
        self.armed_ms.set(earliest_ms);
        self.alarm.rearm(earliest_ms);
    }

    /// The earliest time among the timers that are not due yet.
    #[inline(never)]
    fn earliest_ms(&self) -> Millis {
        let state = self.state.get();
        let pending = each(state & !(state >> DUE));
        pending.filter_map(|at| self.at_ms.get(at)).map(Cell::get).min().unwrap_or(NEVER)
    }

    /// Awaits `op`. When `at_ms` passes first, `expire` is called once (it must make `op` end soon, by a shut-down)
    /// and `op` is still awaited. Returns its output and whether the time was up.
    #[inline]
    pub fn bound<F: Future + Unpin>(
        &self,
        timer: Timer,
        at_ms: Millis,
        op: F,
        expire: impl FnOnce(),
    ) -> impl Future<Output = (F::Output, bool)> {
        Bound { timers: self, timer, op, expire: once(expire), at_ms: Some(at_ms), is_up: false }
    }

    /// As [`Self::bound`], but `expire` may give the operation more time: it returns until when.
    #[inline]
    pub fn bound_until<F: Future + Unpin>(
        &self,
        timer: Timer,
        at_ms: Millis,
        op: F,
        expire: impl FnMut() -> Option<Millis>,
    ) -> impl Future<Output = (F::Output, bool)> {
        Bound { timers: self, timer, op, expire, at_ms: Some(at_ms), is_up: false }
    }

    /// Awaits `wait` until `at_ms`, then gives it up. A kernel operation must not be dropped in flight: pass one by
    /// reference, keep it, and await it in the end.
    pub async fn give_up<F: Future + Unpin>(
        &self,
        timer: Timer,
        at_ms: Millis,
        mut wait: F,
    ) -> Option<F::Output> {
        self.set(timer, at_ms);
        let output = poll_fn(|cx| match Pin::new(&mut wait).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.poll_due(timer, cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        let output = output.await;
        self.stop(timer);
        output
    }
}

/// Turns an end without extension into an `expire` that grants no more time.
fn once(expire: impl FnOnce()) -> impl FnMut() -> Option<Millis> {
    let mut expire = Some(expire);
    move || {
        if let Some(expire) = expire.take() {
            expire();
        }
        None
    }
}

struct Bound<'t, 'a, F, E> {
    timers: &'t Timers<'a>,
    timer: Timer,
    op: F,
    expire: E,
    /// The time to set the timer to, once the operation was found unfinished.
    at_ms: Option<Millis>,
    /// The time is up, and the operation has been made to end.
    is_up: bool,
}

impl<F: Unpin, E> Unpin for Bound<'_, '_, F, E> {}

impl<F: Future + Unpin, E: FnMut() -> Option<Millis>> Future for Bound<'_, '_, F, E> {
    type Output = (F::Output, bool);
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(output) = Pin::new(&mut this.op).poll(cx) {
            return Poll::Ready((output, this.is_up));
        }
        if let Some(at_ms) = this.at_ms.take() {
            this.timers.set(this.timer, at_ms);
        }
        if !this.is_up && this.timers.poll_due(this.timer, cx) {
            if let Some(later_ms) = (this.expire)() {
                this.timers.set(this.timer, later_ms);
                return Poll::Pending;
            }
            this.is_up = true;
            if let Poll::Ready(output) = Pin::new(&mut this.op).poll(cx) {
                return Poll::Ready((output, true));
            }
        }
        Poll::Pending
    }
}

impl<F, E> Drop for Bound<'_, '_, F, E> {
    #[inline]
    fn drop(&mut self) {
        self.timers.stop(self.timer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::alarms::Alarms;
    use std::future::{pending, ready};
    use std::rc::Rc;
    use std::task::Waker;
    use std::time::Duration;

    /// Timers whose time the test sets.
    struct World {
        alarms: Rc<Alarms>,
        alarm: Alarm,
        clock: Clock,
    }

    impl World {
        fn new() -> World {
            let alarms = Rc::new(Alarms::default());
            World { alarm: alarms.alarm(), alarms, clock: Clock::start() }
        }

        fn timers(&self) -> Timers<'_> {
            Timers::new(&self.alarm, &self.clock)
        }

        /// A time so long after the shard's start.
        fn at(&self, now_ms: Millis) {
            self.clock.stand_at(now_ms);
            self.alarms.scan(now_ms);
        }
    }

    fn is_due(timers: &Timers<'_>, timer: Timer) -> bool {
        timers.poll_due(timer, &mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn each_timer_comes_due_at_its_own_time_whichever_was_set_last() {
        let world = World::new();
        let timers = world.timers();
        timers.set(Timer::Response, 100);
        timers.set(Timer::Look, 50);
        timers.set(Timer::Gone, 70);
        world.at(49);
        assert!(!is_due(&timers, Timer::Look));
        world.at(60);
        assert!(!is_due(&timers, Timer::Response), "asked first, it hears of the firing");
        assert!(is_due(&timers, Timer::Look), "and takes it from nobody");
        assert!(!is_due(&timers, Timer::Gone));
        world.at(70);
        assert!(is_due(&timers, Timer::Gone));
        world.at(100);
        assert!(is_due(&timers, Timer::Response));
    }

    #[test]
    fn a_timer_that_was_stopped_or_set_anew_is_not_due_and_the_next_one_is_in_time() {
        let world = World::new();
        let timers = world.timers();
        timers.set(Timer::Settle, 50);
        timers.set(Timer::Response, 200);
        timers.stop(Timer::Settle);
        world.at(50);
        assert!(!is_due(&timers, Timer::Settle));
        world.at(200);
        assert!(is_due(&timers, Timer::Response));
        timers.set(Timer::Response, 300);
        assert!(!is_due(&timers, Timer::Response));
        world.at(300);
        assert!(is_due(&timers, Timer::Response));
        timers.stop(Timer::Response);
        assert!(!is_due(&timers, Timer::Response));
        assert!(!timers.is_any_set());
    }

    #[test]
    fn hastening_brings_forward_what_is_set_and_nothing_else() {
        let world = World::new();
        let timers = world.timers();
        timers.set(Timer::Content, 500);
        timers.hasten(Timer::Content, 600);
        timers.hasten(Timer::Upload, 40);
        assert_eq!((timers.at(Timer::Content), timers.at(Timer::Upload)), (Some(500), None));
        timers.hasten(Timer::Content, 60);
        world.at(60);
        assert!(is_due(&timers, Timer::Content));
        assert!(!is_due(&timers, Timer::Upload));
    }

    #[test]
    fn an_alarm_that_is_made_to_fire_makes_all_due_that_are_set() {
        let world = World::new();
        let timers = world.timers();
        timers.set(Timer::Upload, NEVER);
        timers.set_waiting(Timer::Idle, 900, Waits::Idle);
        world.alarms.fire_waiting(Waits::Idle);
        assert!(is_due(&timers, Timer::Idle) && is_due(&timers, Timer::Upload));
        assert!(!is_due(&timers, Timer::Send));
    }

    #[test]
    fn while_all_is_cut_off_whatever_is_set_comes_due_with_the_next_firing() {
        let world = World::new();
        let timers = world.timers();
        world.alarms.fire_all();
        timers.set(Timer::Send, 10_000);
        assert!(!is_due(&timers, Timer::Send));
        world.alarms.fire_all();
        assert!(is_due(&timers, Timer::Send));
    }

    #[test]
    fn an_operation_that_runs_out_of_time_is_ended_once_and_still_awaited() {
        let world = World::new();
        let timers = world.timers();
        let mut cx = Context::from_waker(Waker::noop());
        let ended = Cell::new(0);
        let op = poll_fn(|_| if ended.get() > 0 { Poll::Ready(7) } else { Poll::Pending });
        let end = || ended.set(ended.get() + 1);
        let mut bound = Box::pin(timers.bound(Timer::Send, 50, op, end));
        assert!(bound.as_mut().poll(&mut cx).is_pending());
        world.at(50);
        assert_eq!(bound.as_mut().poll(&mut cx), Poll::Ready((7, true)));
        assert_eq!(ended.get(), 1);
        drop(bound);
        assert!(!timers.is_any_set());
    }

    #[test]
    fn who_ends_an_operation_may_give_it_more_time_instead() {
        let world = World::new();
        let timers = world.timers();
        let mut cx = Context::from_waker(Waker::noop());
        let mut more = vec![None, Some(80)];
        let give = || more.pop().flatten();
        let mut bound = Box::pin(timers.bound_until(Timer::Send, 50, pending::<()>(), give));
        assert!(bound.as_mut().poll(&mut cx).is_pending());
        world.at(50);
        assert!(bound.as_mut().poll(&mut cx).is_pending());
        assert_eq!(timers.at(Timer::Send), Some(80));
        world.at(80);
        assert!(bound.as_mut().poll(&mut cx).is_pending());
        drop(bound);
        assert!(more.is_empty());
    }

    #[test]
    fn what_has_ended_when_it_is_asked_sets_no_timer() {
        let world = World::new();
        let timers = world.timers();
        let mut cx = Context::from_waker(Waker::noop());
        let mut bound = Box::pin(timers.bound(Timer::Send, 50, ready(1), || {}));
        assert_eq!(bound.as_mut().poll(&mut cx), Poll::Ready((1, false)));
        assert!(!timers.is_any_set());
    }

    #[test]
    fn a_wait_that_is_given_up_leaves_its_operation_alone() {
        let world = World::new();
        let timers = world.timers();
        let mut cx = Context::from_waker(Waker::noop());
        let mut op = pending::<u8>();
        {
            let deadline = world.clock.deadline(Duration::from_millis(30));
            let mut wait = Box::pin(timers.give_up(Timer::Content, deadline, &mut op));
            assert!(wait.as_mut().poll(&mut cx).is_pending());
            world.at(30);
            assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(None));
        }
        assert!(!timers.is_any_set());
    }
}
