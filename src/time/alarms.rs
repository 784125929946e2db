//! Deadlines of one shard: a flat table that the ticker scans, instead of a timer for each operation.
//!
//! An alarm is one slot. Arming it is a store; the ticker wakes the tasks whose time has come, and the
//! task ends its operation by shutting a socket down and then still awaits it. Deadlines are therefore
//! met with the tick's resolution (50 ms) and cost nothing until they are missed.
//!
//! The slots also say since when each task waits for a request: when there is no room for new connections, those that
//! have waited longest are ended (see `reclaim`).

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::clock::{Millis, NEVER};
use crate::table::Table;

/// All alarms of a shard. The table grows with the connections, which are limited, and shrinks with them.
#[derive(Debug, Default)]
pub struct Alarms {
    slots: RefCell<Table<Slot>>,
    /// Set once everything is being cut off: no deadline is renewed any more.
    is_cut_off: Cell<bool>,
    /// When the table was scanned last.
    now_ms: Cell<Millis>,
}

/// A new connection that has been silent for less than this is not ended to make room for another.
const FIRST_REQUEST_MS: u32 = 1000;

#[derive(Debug)]
struct Slot {
    at_ms: Millis,
    fired: bool,
    waits: Waits,
    /// Its connection is to end, because others need the room.
    is_evicted: bool,
    /// While the task waits for a request, since when: the lower bits of a time in milliseconds.
    since: u32,
    waker: Option<Waker>,
}

impl Slot {
    fn fire(&mut self) {
        self.at_ms = NEVER;
        self.fired = true;
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// How long its task has waited for a request, if it may be ended for that.
    fn idle_ms(&self, now: u32) -> Option<u32> {
        let idle_ms = now.wrapping_sub(self.since);
        let is_idle = match self.waits {
            Waits::Busy => false,
            Waits::Fresh => idle_ms >= FIRST_REQUEST_MS,
            Waits::Idle => true,
        };
        (is_idle && !self.is_evicted).then_some(idle_ms)
    }
}

/// A task that waited for a request when the table was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    idle_ms: u32,
    key: usize,
    since: u32,
}

/// What a task waits for, as a stop of the shard distinguishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// The end of work that was begun: a stop waits for it.
    Busy,
    /// The first request of a new connection, which may be on its way: a stop gives it a moment.
    Fresh,
    /// The next request of a kept connection: a stop does not wait for it.
    Idle,
}

/// One task's alarm; its slot is freed with it.
#[derive(Debug)]
pub struct Alarm {
    alarms: Rc<Alarms>,
    key: usize,
}

impl Alarms {
    pub fn alarm(self: &Rc<Self>) -> Alarm {
        let key = self.slots.borrow_mut().insert(Slot {
            at_ms: NEVER,
            fired: false,
            waits: Waits::Busy,
            is_evicted: false,
            since: 0,
            waker: None,
        });
        Alarm { alarms: Rc::clone(self), key }
    }

    /// How many alarms there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.slots.borrow().iter().count()
    }

    /// Wakes every task whose alarm is due.
    pub fn scan(&self, now_ms: Millis) {
        self.now_ms.set(now_ms);
        for slot in self.slots.borrow_mut().values_mut() {
            if slot.at_ms <= now_ms {
                slot.fire();
            }
        }
    }

    /// Gives back memory that a peak has left behind.
    pub fn trim(&self) {
        self.slots.borrow_mut().trim();
    }

    /// Makes due the alarms of tasks with this kind of wait: the shard is being stopped.
    pub fn fire_waiting(&self, waits: Waits) {
        self.fire(|slot| slot.waits == waits);
    }

    /// Makes every alarm due and cuts everything off: a task that would renew its deadline sees that it must not.
    pub fn fire_all(&self) {
        self.is_cut_off.set(true);
        self.fire(|_| true);
    }

    fn fire(&self, which: impl Fn(&Slot) -> bool) {
        for slot in self.slots.borrow_mut().values_mut() {
            if which(slot) {
                slot.fire();
            }
        }
    }

    /// The `count` tasks that have waited for a request longest; the longest is the last. Looks at all.
    pub fn longest_waiting(&self, count: usize) -> Vec<Waiting> {
        let now = self.now();
        let mut longest = BinaryHeap::new();
        for (key, slot) in self.slots.borrow().iter() {
            let Some(idle_ms) = slot.idle_ms(now) else { continue };
            let waiting = Waiting { idle_ms, key, since: slot.since };
            if longest.len() < count {
                longest.push(Reverse(waiting));
            } else if let Some(mut least) = longest.peek_mut()
                && least.0 < waiting
            {
                *least = Reverse(waiting);
            }
        }
        let mut longest: Vec<Waiting> = longest.into_iter().map(|Reverse(one)| one).collect();
        longest.sort_unstable();
        longest
    }

    /// Makes the alarm of a task due for good, if the task is still in the same wait; `false` if not.
    pub fn evict(&self, waiting: &Waiting) -> bool {
        let now = self.now();
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(waiting.key) else { return false };
        if slot.since != waiting.since || slot.idle_ms(now).is_none() {
            return false;
        }
        slot.is_evicted = true;
        slot.fire();
        true
    }

    /// The time of the last scan, truncated as in the slots.
    fn now(&self) -> u32 {
        self.now_ms.get() as u32
    }
}

impl Alarm {
    /// Arms the alarm anew; an earlier firing is forgotten.
    #[inline]
    pub fn set(&self, at_ms: Millis) {
        self.arm(at_ms, Waits::Busy);
    }

    /// As [`Self::set`] for a task that waits for a request.
    pub fn set_waiting(&self, at_ms: Millis, waits: Waits) {
        let now = self.alarms.now();
        if let Some(slot) = self.alarms.slots.borrow_mut().get_mut(self.key)
            && slot.waits == Waits::Busy
        {
            slot.since = now;
        }
        self.arm(at_ms, waits);
    }

    /// Whether its task was made to end while it waited, because others need the room.
    pub fn is_evicted(&self) -> bool {
        self.alarms.slots.borrow().get(self.key).is_some_and(|slot| slot.is_evicted)
    }

    #[inline]
    fn arm(&self, at_ms: Millis, waits: Waits) {
        if let Some(slot) = self.alarms.slots.borrow_mut().get_mut(self.key) {
            slot.at_ms = at_ms;
            slot.fired = false;
            slot.waits = waits;
        }
    }

    /// Arms the alarm anew for the same kind of wait; an earlier firing is forgotten.
    pub(super) fn rearm(&self, at_ms: Millis) {
        if let Some(slot) = self.alarms.slots.borrow_mut().get_mut(self.key) {
            slot.at_ms = at_ms;
            slot.fired = false;
        }
    }

    /// Whether it has fired since it was set; else the task is woken when it does.
    #[inline]
    pub fn poll_fired(&self, cx: &mut Context<'_>) -> bool {
        let mut slots = self.alarms.slots.borrow_mut();
        let Some(slot) = slots.get_mut(self.key) else { return false };
        match &slot.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => slot.waker = Some(cx.waker().clone()),
        }
        slot.fired
    }

    /// Whether everything is being cut off, so that the alarm fired without its own deadline being reached.
    #[inline]
    pub fn is_cut_off(&self) -> bool {
        self.alarms.is_cut_off.get()
    }

    /// Awaits `op` in a task that waits for a request. When `at_ms` passes first, `expire` is called once (it must make
    /// `op` end soon, by a shut-down) and `op` is still awaited. Returns its output and whether the time was up.
    pub fn bound_waiting<F: Future + Unpin>(
        &self,
        at_ms: Millis,
        waits: Waits,
        op: F,
        expire: impl FnOnce(),
    ) -> impl Future<Output = (F::Output, bool)> {
        self.set_waiting(at_ms, waits);
        Bound { alarm: self, op, expire: Some(expire), is_up: false }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.alarms.slots.borrow_mut().remove(self.key);
    }
}

struct Bound<'a, F, E> {
    alarm: &'a Alarm,
    op: F,
    /// Taken when the time is up and the operation has been made to end.
    expire: Option<E>,
    is_up: bool,
}

impl<F: Unpin, E> Unpin for Bound<'_, F, E> {}

impl<F: Future + Unpin, E: FnOnce()> Future for Bound<'_, F, E> {
    type Output = (F::Output, bool);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(output) = Pin::new(&mut this.op).poll(cx) {
            return Poll::Ready((output, this.is_up));
        }
        if !this.is_up && this.alarm.poll_fired(cx) {
            this.is_up = true;
            this.expire.take().into_iter().for_each(|expire| expire());
            if let Poll::Ready(output) = Pin::new(&mut this.op).poll(cx) {
                return Poll::Ready((output, true));
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use crate::time::alarms::*;
    use std::future::{pending, poll_fn};

    #[test]
    fn an_alarm_fires_at_its_time_and_not_before() {
        let alarms = Rc::new(Alarms::default());
        let alarm = alarms.alarm();
        let mut cx = Context::from_waker(Waker::noop());
        alarm.set(100);
        alarms.scan(99);
        assert!(!alarm.poll_fired(&mut cx));
        alarms.scan(100);
        assert!(alarm.poll_fired(&mut cx));
    }

    #[test]
    fn setting_an_alarm_forgets_an_earlier_firing() {
        let alarms = Rc::new(Alarms::default());
        let alarm = alarms.alarm();
        let mut cx = Context::from_waker(Waker::noop());
        alarm.set(1);
        alarms.scan(5);
        alarm.set(10);
        assert!(!alarm.poll_fired(&mut cx));
    }

    #[test]
    fn an_operation_that_runs_out_of_time_is_ended_once_and_still_awaited() {
        let alarms = Rc::new(Alarms::default());
        let alarm = alarms.alarm();
        let mut cx = Context::from_waker(Waker::noop());
        let ended = std::cell::Cell::new(0);
        let op = poll_fn(|_| if ended.get() > 0 { Poll::Ready(7) } else { Poll::Pending });
        let mut bound =
            Box::pin(alarm.bound_waiting(50, Waits::Fresh, op, || ended.set(ended.get() + 1)));
        assert!(bound.as_mut().poll(&mut cx).is_pending());
        alarms.scan(50);
        assert_eq!(bound.as_mut().poll(&mut cx), Poll::Ready((7, true)));
        assert_eq!(ended.get(), 1);
    }

    /// Alarms of tasks that have waited since these times, at the time `now_ms`.
    fn waiting_since(
        alarms: &Rc<Alarms>,
        waits: Waits,
        since_ms: &[Millis],
        now_ms: Millis,
    ) -> Vec<Alarm> {
        let wait = |&since_ms: &Millis| {
            alarms.scan(since_ms);
            let alarm = alarms.alarm();
            alarm.set_waiting(NEVER, waits);
            alarm
        };
        let waiting = since_ms.iter().map(wait).collect();
        alarms.scan(now_ms);
        waiting
    }

    #[test]
    fn who_waits_longest_is_found_and_evicted_once() {
        let alarms = Rc::new(Alarms::default());
        let waiting = waiting_since(&alarms, Waits::Idle, &[30, 10, 20, 40], 100);
        let _busy = alarms.alarm();
        let mut longest = alarms.longest_waiting(3);
        assert_eq!(longest.iter().map(|one| one.idle_ms).collect::<Vec<_>>(), [70, 80, 90]);
        let first = longest.pop().unwrap();
        assert!(alarms.evict(&first));
        assert!(!alarms.evict(&first));
        let mut cx = Context::from_waker(Waker::noop());
        let fired: Vec<bool> = waiting.iter().map(|alarm| alarm.poll_fired(&mut cx)).collect();
        assert_eq!(fired, [false, true, false, false]);
        // It may go on waiting for a moment, but its eviction is not forgotten.
        waiting[1].set_waiting(NEVER, Waits::Idle);
        assert!(waiting[1].is_evicted());
        assert_eq!(alarms.longest_waiting(9).len(), 3);
    }

    #[test]
    fn who_has_had_work_since_is_not_evicted() {
        let alarms = Rc::new(Alarms::default());
        let waiting = waiting_since(&alarms, Waits::Idle, &[10, 20], 100);
        let longest = alarms.longest_waiting(2);
        waiting[0].set(NEVER);
        assert!(!alarms.evict(&longest[1]));
        waiting[0].set_waiting(NEVER, Waits::Idle);
        assert!(!alarms.evict(&longest[1]), "it has waited for less long than it had then");
        drop(waiting);
        assert!(!alarms.evict(&longest[0]));
    }

    #[test]
    fn who_is_put_to_sleep_while_it_waits_has_waited_since_before() {
        let alarms = Rc::new(Alarms::default());
        let waiting = waiting_since(&alarms, Waits::Idle, &[10], 60);
        waiting[0].set_waiting(500, Waits::Idle);
        assert_eq!(alarms.longest_waiting(1)[0].idle_ms, 50);
    }

    #[test]
    fn a_new_connection_has_a_second_for_its_first_request() {
        let alarms = Rc::new(Alarms::default());
        let _waiting = waiting_since(&alarms, Waits::Fresh, &[10], 1009);
        assert!(alarms.longest_waiting(1).is_empty());
        alarms.scan(1010);
        assert_eq!(alarms.longest_waiting(1).len(), 1);
    }

    #[test]
    fn after_a_peak_the_table_is_as_small_as_before_and_who_is_left_keeps_its_alarm() {
        let alarms = Rc::new(Alarms::default());
        let mut peak: Vec<Alarm> = (0..10_000).map(|_| alarms.alarm()).collect();
        let left = peak.swap_remove(9_000);
        left.set(7);
        drop(peak);
        (0..100).for_each(|_| alarms.trim());
        assert!(alarms.slots.borrow().capacity() < 1000);
        alarms.scan(7);
        assert!(left.poll_fired(&mut Context::from_waker(Waker::noop())));
    }

    #[test]
    fn a_slot_is_small() {
        assert!(size_of::<Slot>() <= 32, "{} bytes", size_of::<Slot>());
    }

    #[test]
    fn a_dropped_alarm_frees_its_slot() {
        let alarms = Rc::new(Alarms::default());
        drop(alarms.alarm());
        let alarm = alarms.alarm();
        let mut cx = Context::from_waker(Waker::noop());
        let mut bound = Box::pin(alarm.bound_waiting(NEVER, Waits::Fresh, pending::<()>(), || {}));
        assert!(bound.as_mut().poll(&mut cx).is_pending());
        drop(bound);
        assert_eq!(alarms.slots.borrow().iter().count(), 1);
    }
}
