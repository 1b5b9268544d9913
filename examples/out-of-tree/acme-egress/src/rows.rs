//! Tags that were made already: the viewers of a stream share them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use rillcast_core::{Frame, TrackId};

use crate::mux::{Layout, Row};

/// The rows that were made last for the viewers of one stream on one thread.
/// All viewers that keep up are given the same frames one after the other, so
/// the first of them has them made and the others find them.
#[derive(Debug, Default)]
pub(crate) struct Rows(Mutex<VecDeque<Known>>);

#[derive(Debug)]
struct Known {
    name: Name,
    /// Keeps the address in the name from becoming another payload's.
    _first: Bytes,
    row: Row,
}

/// Which frames a row is of, and how they are carried. Frames that stand in a
/// row on the bus are told by the first one and their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    track: TrackId,
    dts: i64,
    payload: usize,
    frames: usize,
    layout: Layout,
}

/// So many are kept: viewers that join together read the same rows of the past.
const KEPT: usize = 4;

impl Rows {
    /// The tags of `frames`, which stand in a row on the bus; made only if
    /// nobody had them made lately.
    pub(crate) fn of<'a>(
        &self,
        layout: Layout,
        frames: impl ExactSizeIterator<Item = &'a Frame> + Clone,
    ) -> Option<Row> {
        let first = frames.clone().next()?;
        let name = Name {
            track: first.track,
            dts: first.dts,
            payload: first.payload.as_ptr().addr(),
            frames: frames.len(),
            layout,
        };
        // On one thread there is nobody to wait for.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(|known| known.name == name) {
            return Some(known.row.clone());
        }
        let row = layout.row(frames);
        known.truncate(KEPT - 1);
        known.push_front(Known {
            name,
            _first: first.payload.clone(),
            row: row.clone(),
        });
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use rillcast_core::{MediaParams, Timescale, Track, VideoParams};
    use rillcast_media::codec;

    use super::*;

    #[test]
    fn a_row_is_made_once_and_its_payloads_are_the_frames_own() {
        let params = MediaParams::Video(VideoParams::default());
        let track = Track::new(TrackId(0), codec::AVC, Timescale::VIDEO, params);
        let mut layout = Layout::default();
        assert!(layout.add(&track));
        let now = Instant::now();
        let frame = |dts| Frame::new(TrackId(0), dts, now, Bytes::from(vec![7; 9]));
        let frames = [frame(900_000), frame(903_600)];
        let rows = Rows::default();
        let first = rows.of(layout, frames.iter()).unwrap();
        let again = rows.of(layout, frames.iter()).unwrap();
        assert!(Arc::ptr_eq(&first.slices, &again.slices));
        assert_eq!(first.slices[1].as_ptr(), frames[0].payload.as_ptr());
        assert_eq!(first.slices[3].as_ptr(), frames[1].payload.as_ptr());

        // Another number of frames, or another frame of the same time, is another row.
        for other in [&frames[..1], &[frame(900_000), frame(903_600)]] {
            let other = rows.of(layout, other.iter()).unwrap();
            assert!(!Arc::ptr_eq(&first.slices, &other.slices));
        }
        for dts in 0..8 {
            rows.of(layout, [frame(dts)].iter()).unwrap();
        }
        let known = rows.0.lock().unwrap();
        assert_eq!(known.len(), KEPT);
    }
}
