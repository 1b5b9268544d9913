//! What a later playlist of the same URL may say.

use super::{Parsed, ParsedSegment, Violation, law};

impl Parsed {
    /// Checks the laws between this playlist and a `later` one of the same URL
    /// (RFC 8216 section 6.2.1 and 6.2.2). Both must be whole: see
    /// [`Parsed::updated`].
    ///
    /// # Errors
    /// The first law that is broken.
    pub fn check_next(&self, later: &Self) -> Result<(), Violation> {
        law!(
            self.skipped == 0 && later.skipped == 0,
            "a delta update by itself is not a playlist"
        );
        law!(
            later.target_duration == self.target_duration,
            "EXT-X-TARGETDURATION went from {} to {}",
            self.target_duration,
            later.target_duration
        );
        law!(
            later.control == self.control,
            "what the server promises went from {:?} to {:?}",
            self.control,
            later.control
        );
        law!(
            later.media_sequence >= self.media_sequence,
            "EXT-X-MEDIA-SEQUENCE went back from {} to {}",
            self.media_sequence,
            later.media_sequence
        );
        law!(
            later.next() >= self.next(),
            "segments vanished from the end: {} after {}",
            later.next(),
            self.next()
        );
        law!(
            !self.ended || (later.ended && later.next() == self.next()),
            "something follows EXT-X-ENDLIST"
        );
        for number in later.media_sequence..self.next() {
            let (before, after) = (self.segment(number), later.segment(number));
            let same = match (before, after) {
                (Some(before), Some(after)) => before.became(after),
                (before, after) => before == after,
            };
            law!(
                same,
                "segment {number} changed from {before:?} to {after:?}"
            );
        }
        self.check_breaks(later)?;
        self.check_open(later)?;
        self.check_hint(later)?;
        self.check_reports(later)
    }

    fn check_breaks(&self, later: &Self) -> Result<(), Violation> {
        let gone = later.media_sequence.min(self.next()) - self.media_sequence;
        let gone = self
            .segments
            .iter()
            .take(usize::try_from(gone).unwrap_or(usize::MAX));
        let gone = gone.filter(|segment| segment.discontinuity).count();
        let want = self.discontinuity_sequence + u64::try_from(gone).unwrap_or(u64::MAX);
        // Between two looks more may have come and gone than either shows.
        let overlap = later.media_sequence <= self.next();
        law!(
            later.discontinuity_sequence == want
                || (!overlap && later.discontinuity_sequence > want),
            "EXT-X-DISCONTINUITY-SEQUENCE is {}, but {gone} tags left {}",
            later.discontinuity_sequence,
            self.discontinuity_sequence
        );
        Ok(())
    }

    /// The open segment only grows, and then is whole.
    fn check_open(&self, later: &Self) -> Result<(), Violation> {
        let number = self.next();
        let Some(open) = self.open.as_ref().filter(|_| number >= later.first()) else {
            return Ok(());
        };
        let after = later.segment_or_open(number);
        law!(
            after.is_some_and(|after| open.grew_to(after)),
            "the open segment {number} changed from {open:?} to {after:?}"
        );
        Ok(())
    }

    /// The part that was hinted at is the one that is listed in its place.
    fn check_hint(&self, later: &Self) -> Result<(), Violation> {
        let Some(hint) = &self.hint else {
            return Ok(());
        };
        let number = self.next();
        let index = self.open.as_ref().map_or(0, |open| open.parts.len());
        if number < later.first() {
            return Ok(());
        }
        let Some(segment) = later.segment_or_open(number) else {
            // Nothing has come since.
            law!(
                later.ended || later.hint.as_ref() == Some(hint),
                "the hint went from {hint} to {:?}",
                later.hint
            );
            return Ok(());
        };
        let Some(part) = segment.parts.get(index) else {
            // Nothing has come since; or a segment of which nothing had come became
            // a gap; or its parts have left the list; or whoever cuts has died.
            let still = later.next() == number && later.hint.as_ref() == Some(hint);
            let left = segment.parts.is_empty() && later.next() > number;
            let died = later.ended && later.next() == number + 1;
            law!(
                still || left || died,
                "the part {hint} was hinted at and never came"
            );
            return Ok(());
        };
        law!(
            part.uri == *hint,
            "the part {hint} was hinted at, and {} came in its place",
            part.uri
        );
        Ok(())
    }

    fn check_reports(&self, later: &Self) -> Result<(), Violation> {
        for report in &later.reports {
            let before = self.reports.iter().find(|known| known.uri == report.uri);
            law!(
                before.is_none_or(|before| before.last <= report.last),
                "the report of {} went back from {before:?} to {report:?}",
                report.uri
            );
        }
        let gone = |uri: &String| !later.reports.iter().any(|report| report.uri == *uri);
        let gone = self.reports.iter().find(|report| gone(&report.uri));
        law!(
            later.ended || gone.is_none(),
            "the report of a rendition is gone: {gone:?}"
        );
        Ok(())
    }

    /// The whole playlist that a player has after the delta `update` of this one.
    ///
    /// # Errors
    /// If the update leaves out what this playlist does not have.
    pub fn updated(&self, update: &Self) -> Result<Self, Violation> {
        let mut whole = update.clone();
        let mut segments = Vec::new();
        for number in update.media_sequence..update.first() {
            let known = self.segment(number).cloned();
            law!(
                known.is_some(),
                "segment {number} is skipped, and was not listed before"
            );
            segments.extend(known);
        }
        segments.append(&mut whole.segments);
        whole.segments = segments;
        whole.skipped = 0;
        Ok(whole)
    }
}

impl ParsedSegment {
    /// Whether `later` is the same segment: its parts may have left the list.
    fn became(&self, later: &Self) -> bool {
        let parts = later.parts.is_empty() || later.parts == self.parts;
        parts
            && self.head() == later.head()
            && (self.micros, &self.uri) == (later.micros, &later.uri)
    }

    /// Whether `later` is this open segment with more parts, or whole.
    fn grew_to(&self, later: &Self) -> bool {
        let whole = !later.uri.is_empty();
        let parts = later.parts.starts_with(&self.parts) || (whole && later.parts.is_empty());
        parts && self.head() == later.head()
    }

    /// What is known before its end.
    fn head(&self) -> (&str, bool, bool, Option<jiff::Timestamp>) {
        (&self.map, self.discontinuity, self.gap, self.date)
    }
}
