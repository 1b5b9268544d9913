//! The structures within parameter sets that must be stepped over, field by
//! field, to get to what is behind them. Each gives `None` where the bits end
//! or a count is more than there can be.

use super::Level;
use crate::codec::bits::BitReader;

/// `profile_tier_level(1, sub_layers)` (section 7.3.3), where `sub_layers` is
/// the number of temporal layers minus one.
pub(super) fn profile_tier_level(bits: &mut BitReader<'_>, sub_layers: u8) -> Option<Level> {
    let profile_space = bits.read_u8(2)?;
    let high_tier = bits.bit()?;
    let profile = bits.read_u8(5)?;
    let compatibility = bits.read(32)?;
    let mut constraints = [0; 6];
    for byte in &mut constraints {
        *byte = bits.read_u8(8)?;
    }
    let level = bits.read_u8(8)?;
    let mut present = Vec::with_capacity(usize::from(sub_layers));
    for _ in 0..sub_layers {
        present.push((bits.bit()?, bits.bit()?));
    }
    if sub_layers > 0 {
        bits.skip(2 * usize::from(8_u8.saturating_sub(sub_layers)))?; // reserved_zero_2bits
    }
    for (has_profile, has_level) in present {
        bits.skip(if has_profile { 88 } else { 0 })?;
        bits.skip(if has_level { 8 } else { 0 })?;
    }
    Some(Level {
        profile_space,
        high_tier,
        profile,
        compatibility,
        constraints,
        level,
    })
}

/// How many pictures each temporal layer keeps, reorders and delays: with the
/// flag for all of them, else for the highest alone.
pub(super) fn skip_ordering(bits: &mut BitReader<'_>, sub_layers: u8) -> Option<()> {
    let layers = if bits.bit()? { sub_layers + 1 } else { 1 };
    for _ in 0..layers {
        for _ in 0..3 {
            bits.ue()?;
        }
    }
    Some(())
}

/// `scaling_list_data()` (section 7.3.4).
pub(super) fn skip_scaling_lists(bits: &mut BitReader<'_>) -> Option<()> {
    for size in 0..4_u32 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !bits.bit()? {
                bits.ue()?; // scaling_list_pred_matrix_id_delta
                continue;
            }
            if size > 1 {
                bits.se()?; // scaling_list_dc_coef_minus8
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                bits.se()?;
            }
        }
    }
    Some(())
}

/// All of `st_ref_pic_set()` (section 7.3.7) in a sequence parameter set, with
/// their number before them.
pub(super) fn skip_reference_sets(bits: &mut BitReader<'_>) -> Option<()> {
    let count = bits.ue()?;
    if count > 64 {
        return None;
    }
    let mut last: Option<References> = None;
    for _ in 0..count {
        let next = match &last {
            // inter_ref_pic_set_prediction_flag, which the first does not have.
            Some(last) if bits.bit()? => last.predict(bits)?,
            _ => References::read(bits)?,
        };
        last = Some(next);
    }
    Some(())
}

/// A short-term reference picture set: pictures by the distance of their order
/// count, nearest first. How many flags the next set has depends on them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct References {
    before: Vec<i64>,
    after: Vec<i64>,
}

impl References {
    fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let (before, after) = (bits.ue()?, bits.ue()?);
        if u64::from(before) + u64::from(after) > MAX_PICTURES as u64 {
            return None;
        }
        let mut side = |count: u32, sign: i64| {
            let mut at = 0;
            let mut list = Vec::new();
            for _ in 0..count {
                at += sign * (i64::from(bits.ue()?) + 1);
                bits.skip(1)?; // used_by_curr_pic_flag
                list.push(at);
            }
            Some(list)
        };
        Some(Self {
            before: side(before, -1)?,
            after: side(after, 1)?,
        })
    }

    /// The next set, told by its difference to this one (equations 7-61 and
    /// 7-62).
    fn predict(&self, bits: &mut BitReader<'_>) -> Option<Self> {
        let negative = bits.bit()?;
        let distance = i64::from(bits.ue()?) + 1;
        let shift = if negative { -distance } else { distance };
        // Pictures of this set in the order of their flags; the last flag is
        // of this set's own picture.
        let pictures = self.before.iter().chain(&self.after).chain(&[0]);
        let mut kept = Vec::new();
        for picture in pictures {
            // used_by_curr_pic_flag, else use_delta_flag
            if bits.bit()? || bits.bit()? {
                kept.push(picture + shift);
            }
        }
        let mut before: Vec<_> = kept.iter().copied().filter(|at| *at < 0).collect();
        let mut after: Vec<_> = kept.iter().copied().filter(|at| *at > 0).collect();
        before.sort_unstable_by_key(|at| -at);
        after.sort_unstable();
        let is_possible = before.len() + after.len() <= MAX_PICTURES;
        is_possible.then_some(Self { before, after })
    }
}

/// What a decoder keeps at most (section A.4.2).
const MAX_PICTURES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::bits::BitWriter;

    fn ue(out: &mut BitWriter, value: u32) {
        let len = (value + 1).ilog2();
        out.put(0, len);
        out.put(value + 1, len + 1);
    }

    #[test]
    fn a_predicted_set_has_as_many_flags_as_the_one_before_has_pictures() {
        // {-1, -3, +2}, then the same shifted by -2: of -3, -5, 0 and -2, three
        // are kept, for 0 is the picture itself.
        let mut out = BitWriter::default();
        ue(&mut out, 3);
        ue(&mut out, 2);
        ue(&mut out, 1);
        for distance in [0, 1, 1] {
            ue(&mut out, distance);
            out.put(1, 1);
        }
        out.put(0b11, 2); // predicted, negative
        ue(&mut out, 1);
        out.put(0b10111, 5);
        // The third from the second: three pictures and itself, none kept.
        out.put(0b10, 2);
        ue(&mut out, 0);
        out.put(0, 8);
        out.put(0x5a, 8);
        let bytes = out.into_bytes();
        let mut bits = BitReader::new(&bytes);
        assert_eq!(skip_reference_sets(&mut bits), Some(()));
        assert_eq!(bits.read(8), Some(0x5a));
    }

    #[test]
    fn pictures_of_a_predicted_set_come_nearest_first() {
        let set = References {
            before: vec![-1, -4],
            after: vec![3],
        };
        let mut out = BitWriter::default();
        out.put(0, 1);
        ue(&mut out, 1);
        out.put(0b1111, 4);
        let bytes = out.into_bytes();
        let next = set.predict(&mut BitReader::new(&bytes)).unwrap();
        assert_eq!((next.before, next.after), (vec![-2], vec![1, 2, 5]));
    }

    #[test]
    fn counts_beyond_what_there_can_be_are_refused() {
        for values in [&[65][..], &[1, 17, 0], &[1, 0, 17], &[1, 9, 8]] {
            let mut out = BitWriter::default();
            values.iter().for_each(|value| ue(&mut out, *value));
            out.put(u32::MAX, 32);
            out.put(u32::MAX, 32);
            let bytes = out.into_bytes();
            assert_eq!(skip_reference_sets(&mut BitReader::new(&bytes)), None);
        }
    }
}
