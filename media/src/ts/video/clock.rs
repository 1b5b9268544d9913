//! Times for access units that have none of their own.

use crate::codec::avc::Slice;
use crate::ts::pes::{CYCLE, Stamp, between};

/// What the times of access units so far tell of the next.
#[derive(Debug, Default)]
pub(super) struct Clock {
    last: Option<(Stamp, Option<Slice>)>,
    /// When the last access unit with times of its own was, and how many have
    /// come since.
    timed: Option<(i64, i64)>,
    /// Ticks from one access unit to the next, measured.
    step: Option<i64>,
}

impl Clock {
    /// The times of the next access unit: its own, or as far behind the last
    /// one's as access units are apart. It is shown where its picture order
    /// count puts it, or as long after its decoding as the one before.
    ///
    /// `stated` is how far apart they are as the stream says.
    pub(super) fn time(
        &mut self,
        own: Option<Stamp>,
        slice: Option<Slice>,
        stated: Option<i64>,
    ) -> Option<Stamp> {
        let stamp = match own {
            Some(stamp) => {
                if let Some((then, units)) = self.timed {
                    let step = between(then, stamp.dts) / (units + 1);
                    self.step = (1..LONGEST).contains(&step).then_some(step).or(self.step);
                }
                self.timed = Some((stamp.dts, 0));
                stamp
            }
            None => {
                if let Some((_, units)) = &mut self.timed {
                    *units = units.saturating_add(1);
                }
                let (last, before) = self.last?;
                let step = self.step.or(stated).unwrap_or(TYPICAL);
                let dts = (last.dts + step).rem_euclid(CYCLE);
                let shown = match (slice, before) {
                    (Some(slice), Some(before)) if !slice.idr => slice
                        .order_after(&before)
                        .map(|order| between(last.dts, last.pts) + order * step / 2 - step),
                    _ => None,
                };
                let cts = shown.unwrap_or_else(|| between(last.dts, last.pts)).max(0);
                Stamp {
                    pts: (dts + cts).rem_euclid(CYCLE),
                    dts,
                }
            }
        };
        self.last = Some((stamp, slice));
        Some(stamp)
    }
}

/// A second: pictures farther apart are no measure.
const LONGEST: i64 = 90_000;

/// Thirty pictures a second, where nothing says how many there are.
const TYPICAL: i64 = 3_000;
