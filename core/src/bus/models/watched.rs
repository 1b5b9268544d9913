//! A value that is waited on.

use crate::sync::block_on;

use super::{check, spawn};
use crate::Watched;
use crate::sync::Arc;

#[test]
fn a_value_that_is_stored_is_seen_by_who_waits_for_it() {
    check(|| {
        let watched = Arc::new(Watched::new(0));
        let waiting = Arc::clone(&watched);
        let waiter = spawn(move || *block_on(waiting.wait_for(|value| *value == 1)));
        watched.store(Arc::new(1));
        assert_eq!(waiter.join().unwrap(), 1);
        assert_eq!(watched.waiters(), 0);
    });
}

#[test]
fn of_two_updates_at_once_neither_is_lost() {
    check(|| {
        let watched = Arc::new(Watched::new(0));
        let waiting = Arc::clone(&watched);
        let waiter = spawn(move || *block_on(waiting.wait_for(|value| *value == 2)));
        let other = Arc::clone(&watched);
        let updating = spawn(move || other.update(|value| value + 1));
        watched.update(|value| value + 1);
        updating.join().unwrap();
        assert_eq!(waiter.join().unwrap(), 2);
    });
}
