//! What ran on the host although the job's device is a GPU. A job runs on one thread and takes its notes at its end.

use std::cell::RefCell;
use std::collections::BTreeSet;

thread_local! {
    static NOTES: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes that this job did `step` on the host.
pub fn note(step: &'static str) {
    NOTES.with_borrow_mut(|notes| notes.insert(step));
}

/// What this thread noted since the last call, in alphabetical order.
pub fn take() -> Vec<&'static str> {
    NOTES.with_borrow_mut(std::mem::take).into_iter().collect()
}
