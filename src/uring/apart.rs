//! A value that is dropped by a call, so that the rest of what holds it is dropped in place.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// The rare variant of a type of which each request drops several. Where it would be dropped in place, the code for it
/// would stand, and be passed over, wherever the usual one is dropped.
#[derive(Clone)]
pub struct Apart<T>(ManuallyDrop<T>);

impl<T> Apart<T> {
    pub fn new(value: T) -> Apart<T> {
        Apart(ManuallyDrop::new(value))
    }
}

impl<T> Deref for Apart<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Apart<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for Apart<T> {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: the value is dropped nowhere else, and nobody can look at it any more.
        unsafe { ManuallyDrop::drop(&mut self.0) }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::Apart;

    #[test]
    fn what_stands_apart_is_dropped_once_and_each_clone_by_itself() {
        let value = Rc::new(());
        let apart = Apart::new(Rc::clone(&value));
        let other = apart.clone();
        assert_eq!(Rc::strong_count(&value), 3);
        drop(apart);
        assert_eq!(Rc::strong_count(&other), 2);
        drop(other);
        assert_eq!(Rc::strong_count(&value), 1);
    }
}
