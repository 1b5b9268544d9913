//! Every playlist that is served, checked against the one served before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Parsed, Violation};

/// The newest whole playlist of each track of a session.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: Mutex<HashMap<Arc<str>, Parsed>>,
}

impl Watch {
    /// Checks the playlist of `track` that is about to be served.
    ///
    /// # Errors
    /// The law that it breaks.
    pub(crate) fn check(&self, track: &Arc<str>, text: &str) -> Result<(), Violation> {
        let mut parsed = Parsed::read(text)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = seen.get(track) else {
            // A delta update for somebody who knows more than this: nothing to compare.
            if parsed.skipped == 0 {
                seen.insert(Arc::clone(track), parsed);
            }
            return Ok(());
        };
        // Two threads render two states at once, and the older may come last.
        let is_older = parsed.state() < before.state();
        let (first, second) = if is_older {
            (&parsed, before)
        } else {
            if parsed.skipped > 0 {
                // Nobody has been served a whole one for long: nothing to compare.
                let Ok(whole) = before.updated(&parsed) else {
                    return Ok(());
                };
                parsed = whole;
            }
            (before, &parsed)
        };
        if first.skipped == 0 {
            first.check_next(second)?;
        }
        if !is_older {
            seen.insert(Arc::clone(track), parsed);
        }
        Ok(())
    }
}

impl Parsed {
    /// What later playlists have more of.
    fn state(&self) -> (u64, usize, u64, bool, u64) {
        let parts = self.open.as_ref().map_or(0, |open| open.parts.len());
        let reports = self.reports.iter();
        let reports = reports.map(|report| report.last.0 * 1_000 + report.last.1);
        let (next, first) = (self.next(), self.media_sequence);
        (next, parts, first, self.ended, reports.sum())
    }
}
