//! One direction between the two sides, in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The messages that one side has sent and the other has not received yet.
pub(super) struct Line<T>(pub(super) Rc<RefCell<Inner<T>>>);

pub(super) struct Inner<T> {
    pub(super) said: VecDeque<T>,
    pub(super) is_cut: bool,
    pub(super) listener: Option<Waker>,
}

impl<T> Clone for Line<T> {
    fn clone(&self) -> Line<T> {
        Line(Rc::clone(&self.0))
    }
}

impl<T> Default for Line<T> {
    fn default() -> Line<T> {
        Line(Rc::new(RefCell::new(Inner { said: VecDeque::new(), is_cut: false, listener: None })))
    }
}

impl<T> Line<T> {
    pub(super) fn say(&self, what: T) {
        let mut inner = self.0.borrow_mut();
        inner.said.push_back(what);
        inner.listener.iter().for_each(Waker::wake_by_ref);
    }

    pub(super) fn cut(&self) {
        let mut inner = self.0.borrow_mut();
        inner.is_cut = true;
        inner.listener.iter().for_each(Waker::wake_by_ref);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.0.borrow().is_cut
    }

    /// `None` once it is cut.
    pub(super) fn poll_hear(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut inner = self.0.borrow_mut();
        if inner.is_cut {
            return Poll::Ready(None);
        }
        if let Some(what) = inner.said.pop_front() {
            return Poll::Ready(Some(what));
        }
        inner.listener = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) async fn hear(&self) -> Option<T> {
        poll_fn(|cx| self.poll_hear(cx)).await
    }
}

/// The content of a request, in pieces; with each, whether it is the last.
pub(super) type Upwards = Line<(Vec<u8>, bool)>;
