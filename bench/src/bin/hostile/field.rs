//! The field in which attacks take place: one after the other or at once, each
//! with a row of the summary, and what of the good side is looked at meanwhile.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rillcast_bench::{Error, Result, Rillcast};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::arena::{Arena, GOOD, GOOD_APP, GOOD_SRT, ensure};
use crate::attacks::{ALL, Attack};
use crate::good::{Good, Over};
use crate::server::{Level, Scheduled, Streams, resident, streams};
use crate::verdict::{Rest, Row, megabytes};

/// A field in which attacks take place.
pub(crate) struct Field<'a> {
    pub(crate) server: &'a Rillcast,
    pub(crate) good: &'a Good,
    pub(crate) arena: Arena,
    pub(crate) hostile: &'a Handle,
    /// The good streams as they were when they were looked at last.
    pub(crate) healthy: Mutex<Streams>,
    pub(crate) rest: Rest,
}

/// The begin of a row.
pub(crate) struct Since {
    at: Duration,
    begun: Instant,
    scheduled: Scheduled,
}

impl Since {
    pub(crate) fn now(server: &Rillcast, good: &Good) -> Self {
        Self {
            at: good.seen().now(),
            begun: Instant::now(),
            scheduled: Scheduled::of(server.pid()),
        }
    }

    pub(crate) fn row(&self, name: &str, server: &Rillcast, good: &Good) -> Row {
        let (took, scheduled) = (self.begun.elapsed(), Scheduled::of(server.pid()));
        let now = good.seen().now();
        let cadence = |over| good.seen().cadence(over, self.at, now);
        Row {
            name: name.to_owned(),
            took,
            rounds: 1,
            cadence: cadence(Over::Rtmp),
            srt: cadence(Over::Srt),
            used: scheduled.used(&self.scheduled, took),
            slowed: scheduled.slowed(&self.scheduled),
            memory: resident(server.pid()),
            network: None,
            outcome: Ok(String::new()),
            noticed: false,
            repeated: false,
        }
    }
}

impl Field<'_> {
    /// One after the other, and `beside` them all of those at once.
    pub(crate) async fn in_turn(
        &self,
        attacks: &[(u8, &Attack)],
        beside: &[(u8, &Attack)],
        time: Duration,
        rows: &mut Vec<Row>,
    ) {
        let waiting = async {
            match beside.is_empty() {
                true => None,
                false => Some(self.tried(beside, "those that wait", time).await),
            }
        };
        let others = async {
            let mut rows = Vec::new();
            for attack in attacks {
                rows.extend(self.tried(&[*attack], attack.1.name, time).await);
            }
            rows
        };
        let (waited, others) = tokio::join!(waiting, others);
        rows.extend(others);
        rows.extend(waited.into_iter().flatten());
    }

    /// Attacks, and the same once more where something failed that a busy machine
    /// may have made fail. What the good side has seen is no such thing.
    pub(crate) async fn tried(
        &self,
        attacks: &[(u8, &Attack)],
        name: &str,
        time: Duration,
    ) -> Vec<Row> {
        let mut first = self.repeated(attacks, name, time).await;
        let Some(doubt) = first.doubtful(self.rest) else {
            return vec![first];
        };
        println!("{name}: once more, since {doubt}");
        first.repeated = true;
        let again = format!("{name}, once more");
        vec![first, self.repeated(attacks, &again, time).await]
    }

    /// Attacks at once, again and again until `time` is over.
    async fn repeated(&self, attacks: &[(u8, &Attack)], name: &str, time: Duration) -> Row {
        let crowded = attacks.len() == ALL.len();
        let since = Since::now(self.server, self.good);
        let mut rounds = 0;
        let mut memory = 0;
        let mut noticed = false;
        let outcome = loop {
            rounds += 1;
            let mut outcome = self.once(attacks, rounds, crowded).await;
            memory = memory.max(resident(self.server.pid()));
            let faults = self.faults().await;
            if !faults.is_empty() {
                outcome = Err(Error::new(faults.join("; ")));
                noticed = true;
            }
            if outcome.is_err() || since.begun.elapsed() >= time {
                break outcome;
            }
        };
        let network = match attacks {
            [(network, _)] => Some(*network),
            _ => None,
        };
        let row = Row {
            rounds,
            memory,
            network,
            outcome,
            noticed,
            ..since.row(name, self.server, self.good)
        };
        let said = match &row.outcome {
            Ok(said) => said.clone(),
            Err(error) => format!("FAILED: {error}"),
        };
        println!("{name}: {:.1} s, {said}", row.took.as_secs_f64());
        row
    }

    /// Attacks at once, once. In a crowd an attacker may be too slow for the
    /// server's time-outs, and is then closed earlier than it expects: it is
    /// counted, and what counts is the good side. Half of them must go as they do
    /// alone, and all of them must end.
    async fn once(&self, attacks: &[(u8, &Attack)], round: usize, crowded: bool) -> Result<String> {
        let mut running = JoinSet::new();
        for (network, attack) in attacks {
            let round = u64::try_from(round).unwrap_or_default();
            let arena = Arena {
                network: *network,
                crowded,
                seed: self.arena.seed.wrapping_mul(0x9E37).wrapping_add(round),
                ..self.arena.clone()
            };
            let (name, attack) = (attack.name, (attack.run)(arena));
            let pause = APART * u32::try_from(running.len()).unwrap_or(0);
            running.spawn_on(
                async move {
                    sleep(pause).await;
                    (name, timeout(LONGEST, attack).await)
                },
                self.hostile,
            );
        }
        let alone = attacks.len() == 1;
        let mut said = String::new();
        let (mut failed, mut endless) = (Vec::new(), Vec::new());
        while let Some(ended) = running.join_next().await {
            match ended.map_err(Error::of("an attack"))? {
                (_, Ok(Ok(fact))) if alone => said = fact,
                (_, Ok(Ok(_))) => {}
                (name, Ok(Err(error))) => failed.push(format!("{name}: {error}")),
                (name, Err(_)) => endless.push(format!("{name}: it does not end")),
            }
        }
        if crowded && endless.is_empty() {
            let (all, other) = (attacks.len(), failed.len());
            let said = format!("{} of {all} went as they do alone", all - other);
            if other * 2 <= all {
                return Ok(said);
            }
            return Err(Error::new(format!("only {said}: {}", failed.join("; "))));
        }
        failed.extend(endless);
        if failed.is_empty() {
            if !alone {
                said = format!("{} attacks", attacks.len());
            }
            return Ok(said);
        }
        Err(Error::new(failed.join("; ")))
    }

    /// What has gone wrong on the good side since the last look.
    pub(crate) async fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Err(error) = self.good.check() {
            faults.push(error.to_string());
        }
        match healthy(self.server).await {
            Ok(now) => {
                let mut before = self.healthy.lock().unwrap_or_else(PoisonError::into_inner);
                let changed = before.iter().find(|(key, was)| now.get(*key) != Some(*was));
                if let Some((key, was)) = changed {
                    faults.push(format!("{key} was {was:?}, and is {:?}", now.get(key)));
                }
                *before = now;
            }
            Err(error) => faults.push(error.to_string()),
        }
        faults
    }

    /// Waits until the server is as it was, and then until its memory does not
    /// become less any more; what is resident then comes with the words.
    pub(crate) async fn calm(&self, before: &Level, limit: Duration) -> Result<(String, u64)> {
        let begun = Instant::now();
        let (mut least, mut since) = (u64::MAX, begun);
        loop {
            let now = Level::of(self.server).await?;
            let above = now.above(before);
            if now.resident < least.saturating_sub(STEADY) {
                (least, since) = (now.resident, Instant::now());
            }
            let said = format!(
                "{} to {} MB resident, {} to {} descriptors",
                megabytes(before.resident),
                megabytes(now.resident),
                before.descriptors,
                now.descriptors
            );
            let over = begun.elapsed() > limit;
            if above.is_empty() && (over || since.elapsed() > STEADY_TIME) {
                return Ok((said, now.resident));
            }
            if over {
                return Err(Error::new(format!("{said}; {}", above.join(", "))));
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// What of the good streams must not change.
pub(crate) async fn healthy(server: &Rillcast) -> Result<Streams> {
    let [rtmp, srt] = ["bench", "srt"].map(|kind| format!("{GOOD_APP}/{kind}-"));
    let mut streams = streams(server).await?;
    streams.retain(|key, _| key.starts_with(&rtmp) || key.starts_with(&srt));
    let lines = streams.values().filter(|it| it.link.is_some()).count();
    ensure!(
        streams.len() == GOOD + GOOD_SRT && lines == GOOD_SRT,
        "of the good streams there are {}, {lines} over SRT: {:?}",
        streams.len(),
        streams.keys()
    );
    let gone = streams.iter().find(|(_, it)| !it.live);
    ensure!(gone.is_none(), "not all good streams are live: {gone:?}");
    Ok(streams)
}

/// Memory is given back bit by bit: it is steady when it has not become less by
/// so much in so long.
const STEADY: u64 = 1 << 20;
const STEADY_TIME: Duration = Duration::from_secs(4);

/// From the begin of one attack of a crowd to that of the next: two processors have
/// something to do, and are not all that there is to see.
const APART: Duration = Duration::from_millis(200);

/// No attack takes longer.
const LONGEST: Duration = Duration::from_secs(120);
