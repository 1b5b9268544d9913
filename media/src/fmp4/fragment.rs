//! Fragments: what stands before the samples of a part.

use std::time::{Duration, SystemTime};

use bytes::{BufMut, Bytes, BytesMut};

use super::Error;
use crate::cursor::Cursor;

/// One sample of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Duration in ticks of the track.
    pub duration: u32,
    /// Size of the payload in bytes.
    pub size: u32,
    /// Presentation minus decoding time in ticks of the track; may be negative.
    pub cts: i32,
    /// Whether decoding can start at this sample.
    pub keyframe: bool,
}

/// What [`fragment`] writes.
#[derive(Clone, Copy, Debug)]
pub struct FragmentHeader<'a> {
    /// The fragment's number within the track, which goes up (`mfhd`).
    pub sequence: u32,
    /// The number of the track, as [`track_id`](super::track_id) gives it.
    pub track_id: u32,
    /// Decoding time of the first sample in ticks of the track (`tfdt`).
    pub base_decode_time: u64,
    /// Whether a segment type box comes first: in a segment's first part only.
    pub styp: bool,
    /// When the first sample came in, to be told to players (`prft`).
    pub produced: Option<SystemTime>,
    /// The samples in decoding order.
    pub samples: &'a [Sample],
}

/// Writes a fragment up to the first byte of its first sample: `styp` if asked
/// for, `prft` if the time is given, `moof`, and the eight-byte header of an `mdat` that is as long as the
/// samples say. Their payloads, which the caller holds, follow in order.
///
/// The `moof` has one `traf` with `default-base-is-moof`, a 64-bit `tfdt` and
/// one version 1 `trun` with duration, size, flags and signed composition
/// offset of each sample, so a fragment depends on nothing but its track's
/// init segment (ISO/IEC 23000-19 section 7.3.2.3).
///
/// # Errors
/// [`Error::NoSamples`] without samples; [`Error::TooLarge`] if the samples are
/// more than 4 GiB together.
pub fn fragment(header: &FragmentHeader<'_>) -> Result<Bytes, Error> {
    let samples = header.samples;
    if samples.is_empty() {
        return Err(Error::NoSamples);
    }
    let count = u32::try_from(samples.len()).map_err(|_| Error::TooLarge)?;
    let trun = count
        .checked_mul(SAMPLE_SIZE)
        .and_then(|entries| entries.checked_add(TRUN_SIZE))
        .ok_or(Error::TooLarge)?;
    let traf = trun
        .checked_add(BOX_SIZE + TFHD_SIZE + TFDT_SIZE)
        .ok_or(Error::TooLarge)?;
    let moof = traf
        .checked_add(BOX_SIZE + MFHD_SIZE)
        .ok_or(Error::TooLarge)?;
    // From the moof's first byte, which is what default-base-is-moof means.
    let data_offset = moof
        .checked_add(BOX_SIZE)
        .and_then(|offset| i32::try_from(offset).ok())
        .ok_or(Error::TooLarge)?;
    let mdat = samples
        .iter()
        .try_fold(BOX_SIZE, |sum, sample| sum.checked_add(sample.size))
        .ok_or(Error::TooLarge)?;

    let styp = if header.styp { STYP.len() } else { 0 };
    let produced = header.produced.and_then(ntp);
    let prft = if produced.is_some() { PRFT_SIZE } else { 0 };
    let total = moof.saturating_add(BOX_SIZE).saturating_add(prft);
    let total = usize::try_from(total).map_err(|_| Error::TooLarge)?;
    let mut out = BytesMut::with_capacity(styp + total);
    if header.styp {
        out.put_slice(STYP);
    }
    if let Some(ntp) = produced {
        put_box(&mut out, PRFT_SIZE, b"prft");
        out.put_u32(VERSION_1 | PRFT_INPUT);
        out.put_u32(header.track_id);
        out.put_u64(ntp);
        out.put_u64(presentation(header));
    }
    put_box(&mut out, moof, b"moof");
    put_box(&mut out, MFHD_SIZE, b"mfhd");
    out.put_u32(0);
    out.put_u32(header.sequence);
    put_box(&mut out, traf, b"traf");
    put_box(&mut out, TFHD_SIZE, b"tfhd");
    out.put_u32(TFHD_DEFAULT_BASE_IS_MOOF);
    out.put_u32(header.track_id);
    put_box(&mut out, TFDT_SIZE, b"tfdt");
    out.put_u32(VERSION_1);
    out.put_u64(header.base_decode_time);
    put_box(&mut out, trun, b"trun");
    out.put_u32(VERSION_1 | TRUN_FLAGS);
    out.put_u32(count);
    out.put_i32(data_offset);
    for sample in samples {
        out.put_u32(sample.duration);
        out.put_u32(sample.size);
        out.put_u32(if sample.keyframe {
            SYNC_SAMPLE
        } else {
            NON_SYNC_SAMPLE
        });
        out.put_i32(sample.cts);
    }
    put_box(&mut out, mdat, b"mdat");
    Ok(out.freeze())
}

/// When the first sample is presented, in ticks of the track.
fn presentation(header: &FragmentHeader<'_>) -> u64 {
    let offset = header.samples.first().map_or(0, |first| first.cts);
    header.base_decode_time.saturating_add_signed(offset.into())
}

/// A time as NTP has it (RFC 5905 section 6): seconds since 1900, which wrap in 2036,
/// and 2^-32 of a second. `None` before 1970.
fn ntp(time: SystemTime) -> Option<u64> {
    let unix = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let since_1900 = unix.checked_add(SINCE_1900)?;
    let seconds = since_1900.as_secs() & u64::from(u32::MAX);
    let fraction = (u64::from(since_1900.subsec_nanos()) << 32) / 1_000_000_000;
    Some(seconds << 32 | fraction)
}

/// Reads what [`fragment`] wrote: the decoding time of the first sample, and the
/// samples; `None` for anything else.
#[must_use]
pub fn samples(header: &[u8]) -> Option<(u64, Vec<Sample>)> {
    let moof = child(header, *b"moof")?;
    let traf = child(moof, *b"traf")?;
    let mut tfdt = Cursor::new(child(traf, *b"tfdt")?);
    if tfdt.u32()? != VERSION_1 {
        return None;
    }
    let base = u64::from_be_bytes(tfdt.array()?);
    let mut trun = Cursor::new(child(traf, *b"trun")?);
    if trun.u32()? != VERSION_1 | TRUN_FLAGS {
        return None;
    }
    let count = trun.u32()?;
    trun.u32()?; // data_offset
    let mut samples = Vec::with_capacity(trun.len() / 16);
    for _ in 0..count {
        samples.push(Sample {
            duration: trun.u32()?,
            size: trun.u32()?,
            keyframe: trun.u32()? == SYNC_SAMPLE,
            cts: i32::from_be_bytes(trun.array()?),
        });
    }
    Some((base, samples))
}

/// The contents of the first box of that kind.
fn child(bytes: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(bytes);
    loop {
        let size = usize::try_from(cursor.u32()?).ok()?;
        let found: [u8; 4] = cursor.array()?;
        let size = size.checked_sub(8)?;
        if found == kind {
            return cursor.take(size);
        }
        cursor.take(size)?;
    }
}

fn put_box(out: &mut BytesMut, size: u32, kind: &[u8; 4]) {
    out.put_u32(size);
    out.put_slice(kind);
}

/// Size of a box's size and type.
const BOX_SIZE: u32 = 8;
const MFHD_SIZE: u32 = BOX_SIZE + 4 + 4;
const TFHD_SIZE: u32 = BOX_SIZE + 4 + 4;
const TFDT_SIZE: u32 = BOX_SIZE + 4 + 8;
const PRFT_SIZE: u32 = BOX_SIZE + 4 + 4 + 8 + 8;
/// A `trun` without its samples, and each of those.
const TRUN_SIZE: u32 = BOX_SIZE + 4 + 4 + 4;
const SAMPLE_SIZE: u32 = 16;

const VERSION_1: u32 = 0x0100_0000;
/// The time is that at which the sample was taken in, which is what a server knows of
/// it (ISO/IEC 14496-12 section 8.16.5.3).
const PRFT_INPUT: u32 = 0;
/// From the zero of NTP to that of Unix.
const SINCE_1900: Duration = Duration::from_secs(2_208_988_800);
const TFHD_DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
/// data-offset, and duration, size, flags and composition offset of each
/// sample (ISO/IEC 14496-12 section 8.8.8.1).
const TRUN_FLAGS: u32 = 0x1 | 0x100 | 0x200 | 0x400 | 0x800;

/// `sample_depends_on = 2` (ISO/IEC 14496-12 section 8.8.3.1).
const SYNC_SAMPLE: u32 = 0x0200_0000;
/// `sample_depends_on = 1` and `sample_is_non_sync_sample`. Whether others
/// depend on it stays 0, unknown.
const NON_SYNC_SAMPLE: u32 = 0x0101_0000;

/// The brands of a CMAF segment: `msdh` is that of a DASH media segment,
/// `cmfs` is CMAF's (ISO/IEC 23000-19 section 7.2).
const STYP: &[u8] = b"\0\0\0\x18styp\x6dsdh\0\0\0\0msdhcmfs";

#[cfg(test)]
mod tests;
