//! Durations, sizes and rates as people write them: `"2s"`, `"200ms"`,
//! `"64MiB"`, `"20Mbps"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// A duration in a configuration: a whole or decimal number and one of
/// `ms`, `s`, `m`, `h`, `d`, for example `"1.5s"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HumanDuration(pub Duration);

/// A size in a configuration: a whole or decimal number and one of `B`, `KB`,
/// `MB`, `GB`, `TB` (powers of 1000) or `KiB`, `MiB`, `GiB`, `TiB` (of 1024).
/// A bare TOML integer is a number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

/// Bits per second in a configuration: a whole or decimal number and one of
/// `bps`, `kbps`, `Mbps`, `Gbps` (powers of 1000), for example `"20Mbps"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BitRate(pub u64);

/// Why a duration, size or rate could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// The text is no duration.
    #[error(
        "\"{0}\" is no duration: write a number and a unit, like \"2s\", \"200ms\", \"1.5m\" or \"1h\""
    )]
    Duration(String),
    /// The text is no size.
    #[error("\"{0}\" is no size: write a number and a unit, like \"64MiB\" or \"1.5GB\"")]
    Size(String),
    /// The text is no rate.
    #[error("\"{0}\" is no bitrate: write a number and a unit, like \"20Mbps\" or \"800kbps\"")]
    Rate(String),
}

impl HumanDuration {
    /// A duration of whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A duration of whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl BitRate {
    /// A rate of `megabits` × 1,000,000 bits per second, saturating.
    #[must_use]
    pub const fn mbps(megabits: u64) -> Self {
        Self(megabits.saturating_mul(1_000_000))
    }
}

impl ByteSize {
    /// A size of `mebibytes` × 1,048,576 bytes, saturating.
    #[must_use]
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes.saturating_mul(1 << 20))
    }

    /// The size in bytes, as far as this machine can address it.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const DURATION_UNITS: [(&str, u64); 5] = [
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const RATE_UNITS: [(&str, u64); 4] = [
    ("bps", 1),
    ("kbps", 1_000),
    ("Mbps", 1_000_000),
    ("Gbps", 1_000_000_000),
];

/// `number` × the multiplier of its unit, exact in integers; `None` if the
/// text is malformed, its unit unknown or the product too large.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at_checked(split)?;
    let unit = unit.trim();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.len() > 9 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(*factor)?;
    let fraction = if fraction.is_empty() {
        0
    } else {
        let digits = u32::try_from(fraction.len()).ok()?;
        let value = u128::from(fraction.parse::<u64>().ok()?) * u128::from(*factor);
        u64::try_from(value / 10_u128.pow(digits)).ok()?
    };
    whole.checked_add(fraction)
}

/// Writes `value` with the largest unit that divides it.
fn show(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = |(_, factor): &&(&str, u64)| value != 0 && value.is_multiple_of(*factor);
    let best = units.iter().filter(fits).max_by_key(|(_, factor)| *factor);
    match best.or(units.first()) {
        Some((name, factor)) => write!(f, "{}{name}", value / factor),
        None => write!(f, "{value}"),
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, &DURATION_UNITS)
            .map(|nanos| Self(Duration::from_nanos(nanos)))
            .ok_or_else(|| UnitError::Duration(text.to_owned()))
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, &SIZE_UNITS)
            .map(Self)
            .ok_or_else(|| UnitError::Size(text.to_owned()))
    }
}

impl FromStr for BitRate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, &RATE_UNITS)
            .map(Self)
            .ok_or_else(|| UnitError::Rate(text.to_owned()))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        let (millis, rest) = (nanos / 1_000_000, nanos % 1_000_000);
        if rest == 0 {
            show(nanos, &DURATION_UNITS, f)
        } else {
            let rest = format!("{rest:06}");
            write!(f, "{millis}.{}ms", rest.trim_end_matches('0'))
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, &SIZE_UNITS, f)
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, &RATE_UNITS, f)
    }
}

impl fmt::Debug for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for BitRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BitRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = BitRate;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a bitrate with its unit, like \"20Mbps\" or \"800kbps\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<BitRate, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = HumanDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, like \"2s\" or \"200ms\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<HumanDuration, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrBytes;
        impl Visitor<'_> for TextOrBytes {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size with its unit, like \"64MiB\", or a number of bytes")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes)
                    .map(ByteSize)
                    .map_err(|_| E::custom(UnitError::Size(bytes.to_string())))
            }
        }
        deserializer.deserialize_any(TextOrBytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        for (text, millis) in [
            ("2s", 2_000),
            ("200ms", 200),
            ("1.5s", 1_500),
            ("15m", 900_000),
            ("1h", 3_600_000),
            (" 3 s", 3_000),
            ("0s", 0),
        ] {
            let read = text.parse::<HumanDuration>().unwrap();
            assert_eq!(read.0, Duration::from_millis(millis), "{text}");
            assert_eq!(read.to_string().parse::<HumanDuration>().unwrap(), read);
        }
        for text in ["22.6ms", "0.000001ms", "1.234567891s", "4000000.000001s"] {
            let read = text.parse::<HumanDuration>().unwrap();
            let shown = read.to_string();
            assert_eq!(shown.parse::<HumanDuration>(), Ok(read), "{text}: {shown}");
        }
        for text in [
            "",
            "2",
            "s",
            "-1s",
            "2 weeks",
            "1.s",
            ".5s",
            "1e3s",
            "99999999999999d",
        ] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1.5GB", 1_500_000_000),
            ("512 KiB", 512 << 10),
            ("7B", 7),
            ("0B", 0),
        ] {
            let read = text.parse::<ByteSize>().unwrap();
            assert_eq!(read.0, bytes, "{text}");
            assert_eq!(read.to_string().parse::<ByteSize>().unwrap(), read);
        }
        for text in ["", "64", "64mib", "MiB", "-1B", "99999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates_as_people_write_them() {
        for (text, bits, shown) in [
            ("20Mbps", 20_000_000, "20Mbps"),
            ("2.5 Mbps", 2_500_000, "2500kbps"),
            ("800kbps", 800_000, "800kbps"),
            ("1Gbps", 1_000_000_000, "1Gbps"),
            ("0bps", 0, "0bps"),
        ] {
            let read = text.parse::<BitRate>().unwrap();
            assert_eq!((read.0, read.to_string().as_str()), (bits, shown));
            assert_eq!(shown.parse::<BitRate>().unwrap(), read);
        }
        for text in ["", "20", "20Mb", "20MB", "20mbps", "Mbps", "-1bps"] {
            assert!(text.parse::<BitRate>().is_err(), "{text}");
        }
        for (text, want) in [
            ("20000000", "a bitrate with its unit"),
            ("\"20M\"", "like \"20Mbps\""),
        ] {
            let read = toml::from_str::<std::collections::BTreeMap<String, BitRate>>(&format!(
                "a = {text}"
            ));
            let error = read.unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
