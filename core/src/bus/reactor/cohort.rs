//! Sinks that stand at one place of a stream, and the subscription that reads
//! for all of them.
//!
//! A sink that is not ready parts from its cohort, with a subscription that
//! stands where the cohort's stands; one that has caught up is taken in by a
//! cohort whose subscription would go on exactly as its own. So what is promised
//! to a sink is what a subscription of its own would do, and nothing else.

use super::Sink;
use super::sinks::{Feeding, Sinks, Then};
use crate::bus::stream::Stream;
use crate::bus::subscription::{ResilientSubscription, Run, Subscription, SubscriptionEnd};
use crate::sync::{Arc, Relaxed};
use crate::{CloseReason, JoinAt};

/// A cohort takes no more in; so a feed can stop between two of them.
const MOST: usize = 256;

pub(super) struct Cohort<S: Sink> {
    subscription: ResilientSubscription,
    sinks: Sinks<S>,
}

/// Where a cohort got to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Got {
    /// To the end of what is published.
    There,
    /// None of its sinks is ready.
    Stuck,
    /// It has had its turn.
    Tired,
    /// No sink is left.
    Nowhere,
}

impl<S: Sink> Cohort<S> {
    /// `sinks`, which are to begin.
    pub(super) fn joining(sinks: Vec<S>, of: &Arc<Feeding<S>>) -> Self {
        let stream = Arc::clone(&of.stream);
        let subscription = Subscription::new(stream, JoinAt::Keyframe).resilient();
        Self {
            subscription: subscription.uncounted(),
            sinks: Sinks::new(sinks, Arc::clone(of)),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.sinks.len()
    }

    /// Takes in `other` if it stands exactly where this one does.
    pub(super) fn take_in(&mut self, other: Self) -> Option<Self> {
        let fits = self.len() + other.len() <= MOST;
        if !fits || !self.subscription.is_like(&other.subscription) {
            return Some(other);
        }
        self.sinks.append(other.sinks);
        None
    }

    /// Drops the sinks that nobody wants any more.
    pub(super) fn drop_closed(&mut self) {
        let _ = self.sinks.part(|sink| {
            if sink.is_open() {
                Then::Stays
            } else {
                Then::Goes
            }
        });
    }

    /// Hands on what there is, as long as `calls` last; sinks that are not ready
    /// part, and are put into `parted`.
    #[inline]
    pub(super) fn advance(&mut self, calls: &mut usize, parted: &mut Vec<Self>) -> Got {
        while self.subscription.has_more() {
            let unready = self.sinks.part(|sink| {
                if !sink.is_open() {
                    Then::Goes
                } else if sink.is_ready() {
                    Then::Stays
                } else {
                    Then::Parts
                }
            });
            if !unready.is_empty() {
                let of = Arc::clone(self.sinks.feeding());
                let unready = Sinks::new(unready, of);
                if self.sinks.is_empty() {
                    self.sinks.append(unready);
                    return Got::Stuck;
                }
                parted.push(Self {
                    subscription: self.subscription.fork(),
                    sinks: unready,
                });
            }
            if self.sinks.is_empty() {
                return Got::Nowhere;
            }
            if *calls == 0 {
                return Got::Tired;
            }
            *calls = calls.saturating_sub(self.sinks.len());
            if !self.step() {
                break;
            }
        }
        if self.sinks.is_empty() {
            Got::Nowhere
        } else {
            Got::There
        }
    }

    /// Hands on what comes next; false if there is nothing.
    #[inline]
    fn step(&mut self) -> bool {
        let Self {
            subscription,
            sinks,
        } = self;
        let Some(run) = subscription.try_recv_run() else {
            return false;
        };
        match &run {
            Run::Frames(frames) => {
                let frames = frames.seen();
                sinks.each(|sink| sink.frames(&frames));
            }
            Run::Track(track) => sinks.each(|sink| sink.track(track)),
            Run::Discontinuity(discontinuity) => {
                sinks.each(|sink| sink.discontinuity(*discontinuity));
            }
            Run::Lagged { skipped } => {
                count_lag(&sinks.feeding().stream, *skipped, sinks.len());
                sinks.each(|sink| sink.lagged(*skipped));
            }
            Run::Ended => {
                drop(run);
                let end = subscription.end();
                let end = end.unwrap_or(SubscriptionEnd::Closed(CloseReason::Finished));
                let _ = sinks.part(|sink| {
                    sink.end(end);
                    Then::Goes
                });
            }
        }
        true
    }
}

/// The subscription counts a lag for one; it was one for each sink.
fn count_lag(stream: &Stream, skipped: u64, sinks: usize) {
    let others = u64::try_from(sinks.saturating_sub(1)).unwrap_or(u64::MAX);
    stream.counters.lagged.fetch_add(others, Relaxed);
    let dropped = skipped.saturating_mul(others);
    stream.counters.dropped.fetch_add(dropped, Relaxed);
}
