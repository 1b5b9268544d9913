//! What an egress keeps for each life of a stream, found without a lock.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;

use crate::cmaf::Window;

/// One `T` for each session that was asked for, for as long as its window is there.
pub struct Sessions<T> {
    table: ArcSwap<Table<T>>,
}

type Table<T> = HashMap<Arc<str>, Entry<T>>;

struct Entry<T> {
    window: Weak<Window>,
    kept: Arc<T>,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self {
            window: Weak::clone(&self.window),
            kept: Arc::clone(&self.kept),
        }
    }
}

impl<T> Sessions<T> {
    /// A table without a session.
    #[must_use]
    pub fn new() -> Self {
        Self {
            table: ArcSwap::default(),
        }
    }

    /// What is kept for the session of `window`; `make` gives it for one that is new.
    ///
    /// Two requests that come at once may both call `make`, and both get what one
    /// of them made.
    pub fn get(&self, window: &Arc<Window>, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(known) = self.table.load().get(window.session()) {
            return Arc::clone(&known.kept);
        }
        let made = Entry {
            window: Arc::downgrade(window),
            kept: Arc::new(make()),
        };
        let key: Arc<str> = window.session().into();
        let mut kept = Arc::clone(&made.kept);
        self.table.rcu(|table| {
            let mut next = living(table);
            // Another request may have been faster.
            let entry = next
                .entry(Arc::clone(&key))
                .or_insert_with(|| Entry::clone(&made));
            kept = Arc::clone(&entry.kept);
            next
        });
        kept
    }

    /// Forgets the sessions whose windows are gone. To be called about once a second.
    pub fn sweep(&self) {
        let table = self.table.load();
        if table.values().all(Entry::is_alive) {
            return;
        }
        self.table.rcu(|table| living(table));
    }
}

impl<T> Entry<T> {
    fn is_alive(&self) -> bool {
        self.window.strong_count() > 0
    }
}

/// The sessions whose windows are there.
fn living<T>(table: &Table<T>) -> Table<T> {
    let living = table.iter().filter(|(_, entry)| entry.is_alive());
    let living = living.map(|(key, entry)| (Arc::clone(key), Entry::clone(entry)));
    living.collect()
}

impl<T> Default for Sessions<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sessions = self.table.load().len();
        f.debug_struct("Sessions")
            .field("sessions", &sessions)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use rillcast_core::StreamKey;

    use super::*;
    use crate::cmaf::{CmafConfig, Segmenter, WallClock};

    fn window(session: &str) -> Arc<Window> {
        let now = Instant::now();
        let key = StreamKey::parse("live/cam").unwrap();
        let clock = WallClock::new(SystemTime::UNIX_EPOCH, now);
        let mut segmenter = Segmenter::new(key, session, CmafConfig::default(), clock);
        let snapshot = segmenter.snapshot().unwrap();
        Arc::new(Window::showing((*snapshot).clone(), now))
    }

    #[test]
    fn what_is_kept_is_made_once_and_goes_with_its_window() {
        let sessions = Sessions::new();
        let (one, other) = (window("one"), window("other"));
        let kept = sessions.get(&one, || 1);
        assert_eq!((*kept, *sessions.get(&other, || 2)), (1, 2));
        assert!(Arc::ptr_eq(&kept, &sessions.get(&one, || 3)));
        drop(one);
        sessions.sweep();
        assert_eq!(sessions.table.load().len(), 1);
        assert_eq!(*sessions.get(&other, || 4), 2);
    }
}
