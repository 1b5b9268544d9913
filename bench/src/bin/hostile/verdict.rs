//! What was measured of the server, row by row, and what of it must not be.

use std::time::Duration;

use rillcast_bench::{Result, Table};

use crate::good::Cadence;
use crate::lines::Lines;

/// A row of the summary.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) took: Duration,
    pub(crate) rounds: usize,
    /// Of the good streams over RTMP …
    pub(crate) cadence: Cadence,
    /// … and over SRT.
    pub(crate) srt: Cadence,
    /// What the server used of a processor, in percent.
    pub(crate) used: u128,
    /// How many times as long as on processors of its own the server took, in percent.
    pub(crate) slowed: u32,
    pub(crate) memory: u64,
    pub(crate) network: Option<u8>,
    pub(crate) outcome: Result<String>,
    /// Whether the good side had a fault: a busy machine makes none.
    pub(crate) noticed: bool,
    /// It failed, and was made once more: the next row of its kind counts.
    pub(crate) repeated: bool,
}

/// What the cadence of the good side was at rest; all others are measured by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    p99: Duration,
    srt: Duration,
    slowed: u32,
}

impl Row {
    /// What failed for no other reason, perhaps, than a busy machine.
    pub(crate) fn doubtful(&self, rest: Rest) -> Option<String> {
        match &self.outcome {
            _ if self.noticed => None,
            Err(error) => Some(error.to_string()),
            Ok(_) => rest.late(self),
        }
    }
}

impl Rest {
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            p99: p99(row.cadence),
            srt: p99(row.srt),
            slowed: row.slowed.max(100),
        }
    }

    /// What is wrong with the cadence of `row`: it may be twice that at rest, and
    /// as much longer as the server's threads waited longer for a processor than
    /// they did at rest. They also wait for each other and for the attackers, so
    /// that this excuses little.
    pub(crate) fn late(self, row: &Row) -> Option<String> {
        let slower = (row.slowed.saturating_mul(100) / self.slowed).clamp(100, MOST_SLOWED);
        let both = [("RTMP", row.cadence, self.p99), ("SRT", row.srt, self.srt)];
        both.into_iter().find_map(|(over, cadence, rest)| {
            let (p99, most) = (p99(cadence), rest * 2 * slower / 100);
            (cadence.samples >= FEWEST && p99 >= most).then(|| {
                format!(
                    "the p99 of the part cadence over {over} is {p99:.0?}, at rest {rest:.0?}, and \
                     {most:.0?} are twice that on a machine that is so busy"
                )
            })
        })
    }
}

/// The p99 of a cadence without what the viewers' own side was late by.
fn p99(cadence: Cadence) -> Duration {
    cadence.p99.saturating_sub(cadence.own)
}

/// What of the summary must not be.
pub(crate) fn judge(rows: &[Row], rest: Rest, lines: &Lines) -> Vec<String> {
    let mut faults = Vec::new();
    for row in rows.iter().filter(|row| !row.repeated) {
        if let Err(error) = &row.outcome {
            faults.push(format!("{}: {error}", row.name));
        }
        if let Some(late) = rest.late(row) {
            faults.push(format!("{}: {late}", row.name));
        }
    }
    let time = rows.last().map_or(Duration::ZERO, |row| row.took);
    // A period of the server's log is a minute long and begins with an offence.
    let periods = usize::try_from(time.as_secs() / 60).unwrap_or_default() + 2;
    let most = |_: &str, class: &str| match class {
        "publishing" | "publish ended" => PUBLISHES * periods,
        // Of each stream once.
        "the stream is not packaged" | "the stream is packaged again" => PUBLISHES * periods,
        // The same, and of each only after as much as the bound allows was sent.
        "the publisher sends more than limits.bitrate_warn" | "stream ended" => PUBLISHES * periods,
        // Several things are wrong with a request, each with a line of its own.
        "request refused" => REQUESTS * periods,
        // It is none, or there is no place for it.
        "connection refused" => 2 * periods,
        _ => periods,
    };
    faults.extend(lines.offences(most));
    faults.extend(
        lines
            .errors
            .iter()
            .map(|line| format!("the log has {line}")),
    );
    if lines.unnamed.len() > MOST_UNNAMED {
        let (count, first) = (lines.unnamed.len(), lines.unnamed.first());
        faults.push(format!("{count} lines of nobody, the first: {first:?}"));
    }
    faults
}

/// The summary.
pub(crate) fn table(rows: &[Row], rest: Rest, lines: &Lines) -> Table {
    let mut table = Table::new([
        "attack", "s", "rounds", "parts", "p50 ms", "p99 ms", "of rest", "longest", "SRT p99",
        "own late", "CPU %", "slowed %", "RSS MB", "log", "outcome",
    ]);
    let millis = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e3);
    for row in rows {
        let cadence = row.cadence;
        let ratio = p99(cadence).as_secs_f64() / rest.p99.as_secs_f64();
        table.row([
            row.name.clone(),
            format!("{:.1}", row.took.as_secs_f64()),
            row.rounds.to_string(),
            cadence.samples.to_string(),
            millis(cadence.median),
            millis(cadence.p99),
            format!("{ratio:.2}"),
            millis(cadence.longest),
            millis(row.srt.p99),
            millis(cadence.own),
            row.used.to_string(),
            row.slowed.to_string(),
            megabytes(row.memory),
            row.network
                .map_or(String::new(), |network| lines.of(network).to_string()),
            match &row.outcome {
                Err(_) if row.repeated => "failed, made once more".to_owned(),
                Ok(_) if row.repeated => "late, made once more".to_owned(),
                Ok(said) => said.clone(),
                Err(_) => "FAILED".to_owned(),
            },
        ]);
    }
    table
}

pub(crate) fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// How many kinds of offences a request may be.
const REQUESTS: usize = 6;

/// How many publishes of an address the server tells of in a minute.
const PUBLISHES: usize = 60;

/// The most that a busy machine may excuse, in percent.
const MOST_SLOWED: u32 = 300;

/// Fewer parts have no p99.
pub(crate) const FEWEST: usize = 100;

/// Lines of the start and the end.
const MOST_UNNAMED: usize = 6;

#[cfg(test)]
mod tests {
    use rillcast_bench::Error;

    use super::*;

    fn cadence(p99: u64, own: u64) -> Cadence {
        Cadence {
            samples: FEWEST,
            p99: Duration::from_millis(p99),
            own: Duration::from_millis(own),
            ..Cadence::default()
        }
    }

    fn row(p99: u64, own: u64, slowed: u32) -> Row {
        Row {
            name: "a row".to_owned(),
            took: Duration::from_secs(1),
            rounds: 1,
            cadence: cadence(p99, own),
            srt: cadence(200, 0),
            used: 0,
            slowed,
            memory: 0,
            network: None,
            outcome: Ok(String::new()),
            noticed: false,
            repeated: false,
        }
    }

    #[test]
    fn twice_as_late_as_at_rest_is_too_late() {
        let rest = Rest::of(&row(110, 10, 100));
        for (row, late) in [
            (row(199, 0, 100), false),
            (row(200, 0, 100), true),
            // The viewers' own side.
            (row(250, 60, 100), false),
            // A busy machine, at most three times as slow.
            (row(399, 0, 200), false),
            (row(400, 0, 200), true),
            (row(600, 0, 5_000), true),
        ] {
            assert_eq!(rest.late(&row).is_some(), late, "{:?}", row.cadence);
        }
    }

    #[test]
    fn either_kind_of_stream_may_be_late() {
        let rest = Rest::of(&row(100, 0, 100));
        let mut late = row(100, 0, 100);
        late.srt = cadence(399, 0);
        assert!(rest.late(&late).is_none());
        late.srt = cadence(400, 0);
        assert!(rest.late(&late).is_some_and(|said| said.contains("SRT")));
    }

    #[test]
    fn a_machine_that_was_as_busy_at_rest_excuses_nothing() {
        let rest = Rest::of(&row(100, 0, 300));
        assert!(rest.late(&row(200, 0, 300)).is_some());
        assert!(rest.late(&row(300, 0, 600)).is_none());
    }

    #[test]
    fn what_the_good_side_saw_is_beyond_doubt() {
        let rest = Rest::of(&row(100, 0, 100));
        assert!(row(100, 0, 100).doubtful(rest).is_none());
        assert!(row(200, 0, 100).doubtful(rest).is_some());
        let mut failed = row(100, 0, 100);
        failed.outcome = Err(Error::new("closed too early"));
        assert!(failed.doubtful(rest).is_some());
        failed.noticed = true;
        assert!(failed.doubtful(rest).is_none());
    }
}
