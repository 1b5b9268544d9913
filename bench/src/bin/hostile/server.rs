//! What the server says of itself, and the system of it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use rillcast_bench::{Error, Result, Rillcast};
use serde_json::Value;

/// What the server holds at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Level {
    /// Resident memory in bytes, from `/proc`.
    pub(crate) resident: u64,
    /// Open descriptors, from `/proc`.
    pub(crate) descriptors: usize,
    /// What the server counts itself: buses and windows of all streams, in bytes.
    pub(crate) media: u64,
    /// Open HTTP connections.
    pub(crate) http: u64,
    /// Streams that live.
    pub(crate) streams: u64,
}

/// What is counted of a stream, and must not change while it is attacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// Where its publisher is: a connection of its own has a port of its own.
    pub(crate) peer: String,
    pub(crate) session: String,
    pub(crate) epoch: u64,
    pub(crate) repairs: u64,
    pub(crate) drops: u64,
    pub(crate) discontinuities: u64,
    pub(crate) lost: u64,
    pub(crate) live: bool,
    /// Of the line to a publisher over SRT; none over RTMP.
    pub(crate) link: Option<Link>,
}

/// What a line must not do, once it is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) dropped: u64,
    pub(crate) overflowed: u64,
    pub(crate) undecrypted: u64,
}

impl Health {
    /// Whether nothing has befallen it since its begin.
    pub(crate) fn is_whole(&self) -> bool {
        let counted = self.repairs + self.drops + self.discontinuities + self.lost;
        let link = self.link.unwrap_or_default();
        self.live && self.epoch == 1 && counted == 0 && link == Link::default()
    }
}

/// All streams by key.
pub(crate) type Streams = BTreeMap<String, Health>;

impl Level {
    /// Now.
    pub(crate) async fn of(server: &Rillcast) -> Result<Self> {
        let text = server.get("/metrics").await?;
        let text = String::from_utf8_lossy(&text);
        let metric = |name: &str| number(&text, name).unwrap_or(u64::MAX);
        Ok(Self {
            resident: resident(server.pid()),
            descriptors: descriptors(server.pid()),
            media: metric("rillcast_bus_memory_bytes")
                .saturating_add(metric("rillcast_window_memory_bytes")),
            http: metric("rillcast_http_connections"),
            streams: metric("rillcast_streams"),
        })
    }
}

/// A metric without labels.
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

/// What the API tells of every stream.
pub(crate) async fn streams(server: &Rillcast) -> Result<Streams> {
    let body = server.get("/api/v1/streams").await?;
    let json: Value = serde_json::from_slice(&body).map_err(Error::of("the API"))?;
    let list = json.get("streams").and_then(Value::as_array);
    let text = |stream: &Value, path: &str| {
        let value = stream.pointer(path).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let number = |stream: &Value, path: &str| {
        let value = stream.pointer(path).and_then(Value::as_u64);
        value.unwrap_or(0)
    };
    let link = |stream: &Value| {
        let link = stream.pointer("/publisher/link");
        let of = |name: &str| number(stream, &format!("/publisher/link/{name}"));
        link.filter(|link| link.is_object()).map(|_| Link {
            dropped: of("dropped"),
            overflowed: of("overflowed"),
            undecrypted: of("undecrypted"),
        })
    };
    let health = |stream: &Value| Health {
        peer: text(stream, "/publisher/peer"),
        session: text(stream, "/session"),
        epoch: number(stream, "/epoch"),
        repairs: number(stream, "/repairs"),
        drops: number(stream, "/drops"),
        discontinuities: number(stream, "/discontinuities"),
        lost: number(stream, "/packaging/lost_frames")
            + number(stream, "/packaging/skipped_frames"),
        live: text(stream, "/state") == "publishing",
        link: link(stream),
    };
    let streams = list.into_iter().flatten();
    Ok(streams
        .map(|stream| (text(stream, "/key"), health(stream)))
        .collect())
}

/// VmRSS of proc_pid_status(5), in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kibibytes.unwrap_or(0_u64) * 1_024
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

impl Level {
    /// The higher of each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            descriptors: self.descriptors.max(other.descriptors),
            media: self.media.max(other.media),
            http: self.http.max(other.http),
            streams: self.streams.max(other.streams),
        }
    }

    /// What is above the level `before`, in words.
    pub(crate) fn above(&self, before: &Self) -> Vec<String> {
        let media = before.media + before.media / 10;
        // The allocator keeps some of what was used at most; what a good window
        // has grown by is no fault.
        let grown = self.media.saturating_sub(before.media);
        let resident = before.resident + before.resident / 2 + RESIDENT_SLACK + grown;
        let numbers = [
            ("bytes resident", self.resident, resident),
            ("bytes of media", self.media, media),
            ("HTTP connections", self.http, before.http),
            ("streams", self.streams, before.streams),
            (
                "descriptors",
                u64::try_from(self.descriptors).unwrap_or(u64::MAX),
                u64::try_from(before.descriptors).unwrap_or(0),
            ),
        ];
        let above = numbers.iter().filter(|(_, now, most)| now > most);
        above
            .map(|(what, now, most)| format!("{now} {what}, at most {most} were expected"))
            .collect()
    }
}

/// How much more than half may be resident after the attacks than before.
const RESIDENT_SLACK: u64 = 64 << 20;

/// Time that the threads of a process ran, and that they could have run and had
/// no processor, by thread: those that end take their times with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scheduled(BTreeMap<String, Times>);

/// In nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    ran: u64,
    waited: u64,
}

impl Scheduled {
    /// Until now, of the threads that live.
    pub(crate) fn of(pid: u32) -> Self {
        let threads = fs::read_dir(format!("/proc/{pid}/task"));
        let times = threads.into_iter().flatten().flatten().map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            let mut numbers = text
                .split(' ')
                .filter_map(|number| number.parse::<u64>().ok());
            let times = Times {
                ran: numbers.next().unwrap_or(0),
                waited: numbers.next().unwrap_or(0),
            };
            (thread.file_name().to_string_lossy().into_owned(), times)
        });
        Self(times.collect())
    }

    /// From `before` until now, of all threads that live now.
    fn since(&self, before: &Self) -> Times {
        let mut sum = Times::default();
        for (thread, now) in &self.0 {
            let before = before.0.get(thread).copied().unwrap_or_default();
            sum.ran += now.ran.saturating_sub(before.ran);
            sum.waited += now.waited.saturating_sub(before.waited);
        }
        sum
    }

    /// Processors that were used from `before` until now, in percent of one.
    pub(crate) fn used(&self, before: &Self, time: Duration) -> u128 {
        u128::from(self.since(before).ran) * 100 / time.as_nanos().max(1)
    }

    /// How many times as long as on a machine of its own everything took from
    /// `before` until now, in percent.
    pub(crate) fn slowed(&self, before: &Self) -> u32 {
        let Times { ran, waited } = self.since(before);
        let percent = (ran + waited).saturating_mul(100) / ran.max(1);
        u32::try_from(percent).unwrap_or(u32::MAX).max(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_processor_slows() {
        let sample = |ran, waited| {
            let ended = (waited == 0).then_some(("2".to_owned(), Times { ran: 900, waited }));
            let lives = ("1".to_owned(), Times { ran, waited });
            Scheduled([lives].into_iter().chain(ended).collect())
        };
        for (before, now, slowed) in [
            (sample(50, 20), sample(150, 120), 200),
            (sample(0, 0), sample(0, 0), 100),
            (sample(9, 9), sample(0, 9), 100),
            // A thread that is not there any more.
            (sample(0, 0), sample(100, 100), 200),
        ] {
            assert_eq!(now.slowed(&before), slowed);
        }
        let used = sample(1_000, 7).used(&sample(500, 0), Duration::from_nanos(1_000));
        assert_eq!(used, 50);
    }

    #[test]
    fn what_is_above_is_named() {
        let before = Level {
            descriptors: 10,
            media: 1_000,
            http: 5,
            streams: 20,
            resident: 1_000,
        };
        assert!(before.above(&before).is_empty());
        let now = Level {
            streams: 21,
            descriptors: 12,
            media: 1_100,
            resident: RESIDENT_SLACK + 1_500 + 100,
            ..before
        };
        let above = now.above(&before);
        assert_eq!(above.len(), 2, "{above:?}");
        assert!(above[0].contains("21 streams"), "{above:?}");
        let more = Level {
            resident: now.resident + 1,
            ..now
        };
        assert!(more.above(&before)[0].contains("bytes resident"));
    }
}
