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
use crate::sync::{Acquire, Arc, Relaxed};
use crate::{CloseReason, JoinAt};

/// A cohort takes no more in; so a feed can stop between two of them.
const MOST: usize = 256;

pub(super) struct Cohort<S: Sink> {
    subscription: ResilientSubscription,
    sinks: Sinks<S>,
    /// They are to end, whether they are ready or not.
    given_up: bool,
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
            given_up: false,
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
            let given_up = self.given_up;
            let unready = self.sinks.part(|sink| {
                if !sink.is_open() {
                    Then::Goes
                } else if given_up || sink.is_ready() {
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
                    if self.sinks.feeding().stream.cleared.load(Acquire) {
                        // Nobody keeps anything for them any more.
                        self.subscription.give_up();
                        self.given_up = true;
                        continue;
                    }
                    return Got::Stuck;
                }
                parted.push(Self {
                    subscription: self.subscription.fork(),
                    sinks: unready,
                    given_up: false,
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
            ..
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
                count_lags(&sinks.feeding().stream, *skipped, sinks.len());
                sinks.each(|sink| sink.lagged(*skipped));
            }
            Run::Ended => {
                drop(run);
                let end = subscription.end();
                let end = end.unwrap_or(SubscriptionEnd::Closed(CloseReason::Finished));
                if end == SubscriptionEnd::Evicted {
                    let missed = subscription.missed_lately();
                    count_evictions(&sinks.feeding().stream, missed, sinks.len());
                }
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
fn count_lags(stream: &Stream, skipped: u64, sinks: usize) {
    for _ in 1..sinks {
        stream.counters.lagged.fetch_add(1, Relaxed);
        stream.counters.dropped.fetch_add(skipped, Relaxed);
        stream
            .observer
            .tell(|observer| observer.on_subscriber_lagged(&stream.key, skipped));
    }
}

/// And so it does with an eviction.
fn count_evictions(stream: &Stream, missed: u64, sinks: usize) {
    for _ in 1..sinks {
        stream.counters.evicted.fetch_add(1, Relaxed);
        stream
            .observer
            .tell(|observer| observer.on_subscriber_evicted(&stream.key, missed));
    }
}
