//! Where a picture begins: the first fields of slice headers (ISO/IEC
//! 14496-10, 7.3.3), compared as 7.4.1.2.4 says.
//!
//! Byte streams in MPEG-TS have no lengths of access units. Where there are
//! no delimiters either, this is how one is told from the next.

use super::sps::{SliceSyntax, Sps};
use super::unit::{IDR, PPS, SPS, unit_type};
use crate::codec::bits::BitReader;

/// Reads slice headers with the parameter sets that it has met.
#[derive(Clone, Debug, Default)]
pub(crate) struct SliceReader {
    /// By `seq_parameter_set_id`: what is needed of the set, and whether
    /// pictures may have redundant slices.
    sps: [Option<(SliceSyntax, bool)>; 32],
    /// By `pic_parameter_set_id`: the sequence parameter set; see [`UNKNOWN`].
    pps: Vec<u8>,
}

/// In place of the id of a sequence parameter set: none was met.
const UNKNOWN: u8 = u8::MAX;

/// A slice's header, as far as it tells pictures apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// It holds the first macroblock of its picture.
    pub(crate) first: bool,
    pub(crate) idr: bool,
    /// `nal_ref_idc` is not 0.
    reference: bool,
    /// What needs the parameter sets; `None` without them.
    rest: Option<Rest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    pps: u32,
    frame_num: u32,
    field: Option<Field>,
    /// `idr_pic_id`.
    idr_id: Option<u32>,
    /// `pic_order_cnt_lsb`, and its width in bits.
    order: Option<(u32, u32)>,
    /// Slices with the first macroblock may come again in one picture.
    repeats: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Top,
    Bottom,
}

/// The bytes of a slice that hold all that is read, with room for emulation
/// prevention: seven fields, 21 bytes at most.
pub(crate) const SLICE_HEADER: usize = 32;

impl SliceReader {
    /// Takes note of a parameter set; other units say nothing here.
    pub(crate) fn note(&mut self, unit: &[u8]) {
        match unit_type(unit) {
            SPS => {
                let Ok(sps) = Sps::parse(unit) else { return };
                // Baseline and extended (A.2.1, A.2.3).
                let redundant = matches!(sps.profile, 66 | 88);
                if let Some(known) = self.sps.get_mut(usize::from(sps.id)) {
                    *known = Some((sps.slices, redundant));
                }
            }
            PPS => {
                let rbsp = unescape(unit);
                let mut bits = BitReader::new(rbsp.get(1..).unwrap_or_default());
                let id = bits.ue().and_then(|id| u8::try_from(id).ok());
                let of = bits.ue().and_then(|id| u8::try_from(id).ok());
                if let (Some(id), Some(of)) = (id, of) {
                    self.pps.resize(256, UNKNOWN);
                    if let Some(known) = self.pps.get_mut(usize::from(id)) {
                        *known = of;
                    }
                }
            }
            _ => {}
        }
    }

    /// The header of a slice (types 1, 2 and 5), of which at least
    /// [`SLICE_HEADER`] bytes or all must be there.
    pub(crate) fn read(&self, unit: &[u8]) -> Option<Slice> {
        let header = *unit.first()?;
        let rbsp = unescape(unit);
        let mut bits = BitReader::new(rbsp.get(1..)?);
        let first = bits.ue()? == 0;
        bits.ue()?; // slice_type
        let pps = bits.ue()?;
        Some(Slice {
            first,
            idr: unit_type(unit) == IDR,
            reference: header & 0x60 != 0,
            rest: self.rest(bits, pps, unit_type(unit) == IDR),
        })
    }

    fn rest(&self, mut bits: BitReader<'_>, pps: u32, idr: bool) -> Option<Rest> {
        let sps = self.pps.get(usize::try_from(pps).ok()?)?;
        let (syntax, redundant) = (*self.sps.get(usize::from(*sps))?)?;
        if syntax.separate_planes {
            bits.skip(2)?;
        }
        let frame_num = bits.read(syntax.frame_num_bits)?;
        let field = if !syntax.frames_only && bits.bit()? {
            Some(if bits.bit()? {
                Field::Bottom
            } else {
                Field::Top
            })
        } else {
            None
        };
        let idr_id = if idr { Some(bits.ue()?) } else { None };
        let order = match syntax.order_bits {
            Some(width) => Some((bits.read(width)?, width)),
            None => None,
        };
        Some(Rest {
            pps,
            frame_num,
            field,
            idr_id,
            order,
            repeats: redundant || syntax.separate_planes,
        })
    }
}

impl Slice {
    /// Whether this slice, which comes after `before`, belongs to another
    /// picture.
    pub(crate) fn is_new_after(&self, before: &Self) -> bool {
        let (Some(now), Some(then)) = (self.rest, before.rest) else {
            return self.first;
        };
        // Of nal_ref_idc only whether it is 0 counts, of nal_unit_type only
        // whether it is an IDR picture's.
        self.idr != before.idr
            || self.reference != before.reference
            || Rest {
                repeats: then.repeats,
                ..now
            } != then
            || self.first && !now.repeats
    }

    /// Whether this slice is of a field.
    pub(crate) fn is_field(&self) -> bool {
        self.rest.is_some_and(|rest| rest.field.is_some())
    }

    /// Whether this slice, of another picture than `before`, is of the other
    /// field of the same frame (3.30: complementary field pairs). They are
    /// one sample of a file, and one frame for players.
    pub(crate) fn completes(&self, before: &Self) -> bool {
        let (Some(now), Some(then)) = (self.rest, before.rest) else {
            return false;
        };
        now.field.is_some()
            && then.field.is_some()
            && now.field != then.field
            && now.frame_num == then.frame_num
            && !self.idr
            && (before.reference || !self.reference)
    }

    /// How far this picture is shown behind `other`, in units of
    /// `pic_order_cnt`, of which a frame has two; `None` where slices do not
    /// say it.
    pub(crate) fn order_after(&self, other: &Self) -> Option<i64> {
        let ((now, width), (then, _)) = (self.rest?.order?, other.rest?.order?);
        let cycle = 1_i64 << width;
        let ahead = (i64::from(now) - i64::from(then)).rem_euclid(cycle);
        Some(if ahead < cycle / 2 {
            ahead
        } else {
            ahead - cycle
        })
    }
}

/// The beginning of a unit without its emulation prevention bytes.
fn unescape(unit: &[u8]) -> [u8; SLICE_HEADER] {
    let mut out = [0; SLICE_HEADER];
    let mut zeros = 0;
    let mut kept = unit.iter().filter(|byte| {
        let escape = zeros >= 2 && **byte == 3;
        zeros = if **byte == 0 { zeros + 1 } else { 0 };
        !escape
    });
    for (to, from) in out.iter_mut().zip(&mut kept) {
        *to = *from;
    }
    out
}
