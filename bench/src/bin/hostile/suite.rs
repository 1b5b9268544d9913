//! The run: baseline, each attack, all at once, calm, verdict.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rillcast_bench::{Clip, Error, Result, Rillcast};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::Options;
use crate::arena::{Arena, Bounds, GOOD, GOOD_APP, ensure};
use crate::attacks::{ALL, Attack};
use crate::good::Good;
use crate::lines::Lines;
use crate::server::{Level, Scheduled, Streams, streams};
use crate::verdict::{Rest, Row, judge, megabytes, table};

/// How the time is spent.
struct Plan {
    /// Until every window is full, so that memory is what it stays.
    warm_up: Duration,
    baseline: Duration,
    /// What an attack alone is repeated for; once, if zero.
    alone: Duration,
    /// The same for all at once.
    together: Duration,
    /// How long the server may take to be as before.
    calm: Duration,
    /// Whether those that wait for time-outs run beside the others.
    beside: bool,
    scale: usize,
    bounds: Bounds,
    window: Duration,
}

/// What CI has time for: time-outs of a few seconds.
fn short() -> Plan {
    Plan {
        warm_up: Duration::from_secs(10),
        baseline: Duration::from_secs(8),
        alone: Duration::from_millis(500),
        together: Duration::ZERO,
        calm: Duration::from_secs(30),
        beside: true,
        scale: 1,
        bounds: Bounds {
            handshake: Duration::from_secs(3),
            http_head: Duration::from_secs(3),
            http_idle: Duration::from_secs(4),
            http_write: Duration::from_secs(3),
            per_address: 64,
            http_per_address: 200,
            streams_per_app: 150,
            grace: Duration::from_secs(2),
        },
        window: Duration::from_secs(6),
    }
}

/// The server as it is installed.
fn long(minutes: u64) -> Plan {
    let whole = Duration::from_secs(minutes.clamp(3, 24 * 60) * 60);
    let warm_up = Duration::from_secs(40);
    let baseline = Duration::from_secs(30);
    let calm = Duration::from_secs(60);
    let attacked = whole.saturating_sub(warm_up + baseline + calm / 2);
    let attacks = u32::try_from(ALL.len()).unwrap_or(u32::MAX);
    Plan {
        warm_up,
        baseline,
        alone: attacked * 2 / 3 / attacks,
        together: attacked / 3,
        calm,
        beside: false,
        scale: 4,
        bounds: Bounds {
            handshake: Duration::from_secs(10),
            http_head: Duration::from_secs(10),
            http_idle: Duration::from_secs(30),
            http_write: Duration::from_secs(15),
            per_address: 256,
            http_per_address: 2_000,
            streams_per_app: 500,
            grace: Duration::from_secs(15),
        },
        window: Duration::from_secs(30),
    }
}

/// The bounds as settings; what is the default is written out too, so that the
/// suite and the server cannot differ.
fn settings(plan: &Plan, options: &Options) -> Vec<String> {
    let bounds = &plan.bounds;
    let mut settings = vec![
        "log.format=json".to_owned(),
        format!("cmaf.window={}s", plan.window.as_secs()),
        format!("rtmp.handshake_timeout={}s", bounds.handshake.as_secs()),
        format!("rtmp.max_connections_per_address={}", bounds.per_address),
        format!("server.head_timeout={}s", bounds.http_head.as_secs()),
        format!("server.idle_timeout={}s", bounds.http_idle.as_secs()),
        format!("server.body_timeout={}s", bounds.http_idle.as_secs()),
        format!(
            "server.max_connections_per_address={}",
            bounds.http_per_address
        ),
        format!("server.write_timeout={}s", bounds.http_write.as_secs()),
        format!("limits.streams_per_app={}", bounds.streams_per_app),
        format!("bus.reconnect_grace={}s", bounds.grace.as_secs()),
    ];
    settings.extend(options.settings.iter().cloned());
    settings
}

/// Some streams may be taken over by whoever comes.
const CONFIG: &str = "\
[[stream]]
match = \"*/contested\"
bus.takeover = \"replace\"
";

/// A field in which attacks take place.
struct Field<'a> {
    server: &'a Rillcast,
    good: &'a Good,
    arena: Arena,
    hostile: &'a Handle,
    /// The good streams as they were when they were looked at last.
    healthy: Mutex<Streams>,
    rest: Rest,
}

/// The begin of a row.
struct Since {
    at: Duration,
    begun: Instant,
    scheduled: Scheduled,
}

impl Since {
    fn now(server: &Rillcast, good: &Good) -> Self {
        Self {
            at: good.seen().now(),
            begun: Instant::now(),
            scheduled: Scheduled::of(server.pid()),
        }
    }

    fn row(&self, name: &str, server: &Rillcast, good: &Good) -> Row {
        let (took, scheduled) = (self.begun.elapsed(), Scheduled::of(server.pid()));
        Row {
            name: name.to_owned(),
            took,
            rounds: 1,
            cadence: good.seen().cadence(self.at, good.seen().now()),
            used: scheduled.used(self.scheduled, took),
            slowed: scheduled.slowed(self.scheduled),
            memory: server_memory(server),
            network: None,
            outcome: Ok(String::new()),
            noticed: false,
            repeated: false,
        }
    }
}

/// Runs all of it and prints the summary.
pub(crate) async fn run(options: &Options, hostile: &Handle) -> Result {
    let plan = options.minutes.map_or_else(short, long);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = clock.map_err(Error::of("the clock"))?.as_nanos();
    let seed = options
        .seed
        .unwrap_or_else(|| u64::try_from(clock % 1_000_000_007).unwrap_or_default());
    println!("seed {seed}");
    let clip = Arc::new(clip(&options.server)?);
    let settings = settings(&plan, options);
    let server = Rillcast::configured(&options.server, &options.folder, CONFIG, &settings)?;
    let good = Good::publish(server.rtmp(), &clip)?;
    sleep(plan.warm_up).await;
    good.watch(server.http()).await?;
    sleep(Duration::from_secs(1)).await;

    let since = Since::now(&server, &good);
    let mut before = Level::default();
    let steps = 8;
    for _ in 0..steps {
        sleep(plan.baseline / steps).await;
        before = before.max(Level::of(&server).await?);
    }
    let baseline = since.row("baseline", &server, &good);
    let (rest, samples) = (Rest::of(&baseline), baseline.cadence.samples);
    let mut rows = vec![baseline];
    good.check()?;
    let healthy = healthy(&server).await?;
    ensure!(
        samples > GOOD * 10,
        "the viewers saw only {samples} parts before the attacks"
    );

    let arena = Arena {
        rtmp: server.rtmp(),
        http: server.http(),
        bounds: Arc::new(plan.bounds.clone()),
        clip,
        pid: server.pid(),
        crowded: false,
        scale: plan.scale,
        network: 0,
        seed,
    };
    let field = Field {
        server: &server,
        good: &good,
        arena,
        hostile,
        healthy: Mutex::new(healthy),
        rest,
    };
    let chosen: Vec<(u8, &Attack)> = (1..)
        .zip(ALL)
        .filter(|(_, attack)| {
            options.attacks.is_empty() || options.attacks.iter().any(|it| it == attack.name)
        })
        .collect();
    let since = Since::now(&server, &good);
    let (waiting, others): (Vec<_>, Vec<_>) = chosen
        .iter()
        .copied()
        .partition(|(_, attack)| plan.beside && attack.slow);
    field
        .in_turn(&others, &waiting, plan.alone, &mut rows)
        .await;
    // Twice: the allocator may keep the most that was ever used, and no more.
    let mut kept = Vec::new();
    for name in ["all at once", "and again"] {
        if chosen.len() > 1 {
            rows.extend(field.tried(&chosen, name, plan.together / 2).await);
        }
        let since = Since::now(&server, &good);
        let calm = field.calm(&before, plan.calm).await;
        let mut row = since.row("calm", &server, &good);
        kept.extend(calm.as_ref().ok().map(|(_, resident)| *resident));
        row.outcome = calm.map(|(said, _)| said);
        println!("calm: {:.1} s, {:?}", row.took.as_secs_f64(), row.outcome);
        rows.push(row);
    }
    rows.push(since.row("in all", &server, &good));
    let mut faults = field.faults().await;
    let late = good.mean_late();
    let counts = good.seen().counts();
    good.stop().await?;
    server.stop(Duration::from_secs(10))?;

    let lines = Lines::read(&options.folder.join("rillcast.log"))?;
    faults.extend(judge(&rows, rest, &lines));
    if let [first, second] = kept[..]
        && second > first + first / 10 + RESIDENT_SLACK
    {
        let (first, second) = (megabytes(first), megabytes(second));
        faults.push(format!(
            "{first} MB were resident after the attacks, {second} MB after the same again"
        ));
    }
    println!("{}", table(&rows, rest, &lines));
    println!("{counts}; a message left a good publisher {late:.1?} late on average");
    println!("{} lines of the log name an offender", lines.total());
    if faults.is_empty() {
        println!("seed {seed}: nobody noticed");
        return Ok(());
    }
    let faults = faults.join("\n  ");
    Err(Error::new(format!("seed {seed}:\n  {faults}")))
}

impl Field<'_> {
    /// One after the other, and `beside` them all of those at once.
    async fn in_turn(
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
    async fn tried(&self, attacks: &[(u8, &Attack)], name: &str, time: Duration) -> Vec<Row> {
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
            memory = memory.max(server_memory(self.server));
            if let Some(fault) = self.faults().await.into_iter().next() {
                outcome = Err(Error::new(fault));
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
    async fn faults(&self) -> Vec<String> {
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
    async fn calm(&self, before: &Level, limit: Duration) -> Result<(String, u64)> {
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
async fn healthy(server: &Rillcast) -> Result<Streams> {
    let prefix = format!("{GOOD_APP}/bench-");
    let mut streams = streams(server).await?;
    streams.retain(|key, _| key.starts_with(&prefix));
    ensure!(
        streams.len() == GOOD && streams.values().all(|it| it.live),
        "not all good streams are live: {streams:?}"
    );
    Ok(streams)
}

/// A clip of half a megabit, kept beside what cargo builds.
fn clip(server: &Path) -> Result<Clip> {
    let target = server.ancestors().nth(2).unwrap_or(Path::new("."));
    let folder = target.join("bench-clips");
    std::fs::create_dir_all(&folder).map_err(Error::of(folder.display()))?;
    Clip::make(&folder, KILOBITS)
}

fn server_memory(server: &Rillcast) -> u64 {
    crate::server::resident(server.pid())
}

/// The good streams, in kb/s: enough to be real, and little beside a build of
/// the server without optimisation.
const KILOBITS: u32 = 500;

/// How much more than a tenth may be resident after the same attacks again: the
/// first time may leave its mark, the same again finds room in it. A leak of what
/// one connection needs (15 KB) would add as much.
const RESIDENT_SLACK: u64 = 8 << 20;

/// Memory is given back bit by bit: it is steady when it has not become less by
/// so much in so long.
const STEADY: u64 = 1 << 20;
const STEADY_TIME: Duration = Duration::from_secs(4);

/// From the begin of one attack of a crowd to that of the next.
const APART: Duration = Duration::from_millis(100);

/// No attack takes longer.
const LONGEST: Duration = Duration::from_secs(120);
