//! Fragments as a viewer gets them: one `moof` after the other, of which the
//! decode times and the numbers must follow each other without a gap.

use rillcast_bench::{Error, Result};

/// Looks whether the fragments of a track follow each other.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    /// The decode time at which the next fragment must begin.
    next: Option<u64>,
    sequence: Option<u32>,
}

impl Continuity {
    /// Takes the fragments of whole bytes (a segment, or parts of it) in, and
    /// tells how many there were.
    pub(super) fn check(&mut self, mut bytes: &[u8]) -> Result<u64> {
        let mut count = 0;
        while !bytes.is_empty() {
            let (kind, body) = next(&mut bytes).ok_or_else(|| Error::new("a box is cut off"))?;
            if kind == *b"moof" {
                let fragment =
                    Fragment::read(body).ok_or_else(|| Error::new("a moof cannot be read"))?;
                self.follow(&fragment)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn follow(&mut self, fragment: &Fragment) -> Result {
        if let Some(next) = self.next
            && next != fragment.begin
        {
            let begin = fragment.begin;
            return Err(Error::new(format!(
                "a fragment begins at {begin}, the one before it ended at {next}"
            )));
        }
        if let Some(sequence) = self.sequence
            && fragment.sequence <= sequence
        {
            return Err(Error::new(format!(
                "fragment {} follows fragment {sequence}",
                fragment.sequence
            )));
        }
        self.next = Some(fragment.begin + fragment.duration);
        self.sequence = Some(fragment.sequence);
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Fragment {
    sequence: u32,
    begin: u64,
    duration: u64,
}

impl Fragment {
    /// ISO/IEC 14496-12, 8.8.5 to 8.8.12.
    fn read(mut moof: &[u8]) -> Option<Self> {
        let mut fragment = Self::default();
        while !moof.is_empty() {
            let (kind, body) = next(&mut moof)?;
            match &kind {
                b"mfhd" => fragment.sequence = word(body, 4)?,
                b"traf" => fragment.track(body)?,
                _ => {}
            }
        }
        Some(fragment)
    }

    fn track(&mut self, mut traf: &[u8]) -> Option<()> {
        let mut default = 0;
        while !traf.is_empty() {
            let (kind, body) = next(&mut traf)?;
            let flags = word(body, 0)? & 0xFF_FFFF;
            match &kind {
                b"tfhd" => {
                    // Base data offset and sample description index come first.
                    let skipped = 8 + (flags & 1) * 8 + (flags >> 1 & 1) * 4;
                    if flags & 8 != 0 {
                        default = u64::from(word(body, usize::try_from(skipped).ok()?)?);
                    }
                }
                b"tfdt" => {
                    self.begin = if body.first()? == &1 {
                        u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?)
                    } else {
                        u64::from(word(body, 4)?)
                    };
                }
                b"trun" => self.run(body, flags, default)?,
                _ => {}
            }
        }
        Some(())
    }

    fn run(&mut self, body: &[u8], flags: u32, default: u64) -> Option<()> {
        let samples = word(body, 4)?;
        let field = |bit: u32| (flags >> bit & 1) as usize;
        let mut at = 8 + 4 * (field(0) + field(2));
        let size = 4 * (8..12).map(field).sum::<usize>();
        for _ in 0..samples {
            self.duration += match field(8) {
                0 => default,
                _ => u64::from(word(body, at)?),
            };
            at += size;
        }
        Some(())
    }
}

/// Takes a box from the front: its type and what is in it.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<([u8; 4], &'a [u8])> {
    let size = usize::try_from(word(bytes, 0)?).ok()?;
    let kind = *bytes.get(4..)?.first_chunk()?;
    let (whole, rest) = bytes.split_at_checked(size)?;
    *bytes = rest;
    Some((kind, whole.get(8..)?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + 8).unwrap();
        [&size.to_be_bytes()[..], kind, body].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn fragment(sequence: u32, begin: u32, durations: &[u32]) -> Vec<u8> {
        let count = u32::try_from(durations.len()).unwrap();
        let run = [&words(&[0x101, count, 0])[..], &words(durations)].concat();
        let traf = [
            boxed(b"tfhd", &words(&[0x02_0000, 1])),
            boxed(b"tfdt", &words(&[0x0100_0000, 0, begin])),
            boxed(b"trun", &run),
        ];
        let moof = [
            boxed(b"mfhd", &words(&[0, sequence])),
            boxed(b"traf", &traf.concat()),
        ];
        [boxed(b"moof", &moof.concat()), boxed(b"mdat", b"media")].concat()
    }

    #[test]
    fn fragments_that_follow_each_other_are_well() {
        let mut continuity = Continuity::default();
        let both = [fragment(1, 100, &[10, 20]), fragment(2, 130, &[5])].concat();
        assert_eq!(continuity.check(&both).unwrap(), 2);
        assert_eq!(continuity.check(&fragment(3, 135, &[5])).unwrap(), 1);
    }

    #[test]
    fn a_gap_and_a_repetition_are_faults() {
        for second in [fragment(2, 131, &[5]), fragment(1, 130, &[5])] {
            let mut continuity = Continuity::default();
            continuity.check(&fragment(1, 100, &[10, 20])).unwrap();
            assert!(continuity.check(&second).is_err());
        }
        assert!(
            Continuity::default()
                .check(&fragment(1, 1, &[1])[..30])
                .is_err()
        );
    }
}
