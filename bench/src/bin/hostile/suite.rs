//! The run: baseline, each attack, all at once, calm, verdict. How long each
//! takes is in `plan.rs`, how attacks are run in `field.rs`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rillcast_bench::{Clip, Error, Result, Rillcast};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::Options;
use crate::arena::{Arena, ensure};
use crate::attacks::{ALL, Attack};
use crate::field::{Field, Since, healthy};
use crate::good::{Circle, Good};
use crate::lines::Lines;
use crate::plan::{self, config, settings};
use crate::server::Level;
use crate::verdict::{FEWEST, Rest, judge, megabytes, table};

/// Runs all of it and prints the summary.
pub(crate) async fn run(options: &Options, hostile: &Handle) -> Result {
    let plan = options.minutes.map_or_else(plan::short, plan::long);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = clock.map_err(Error::of("the clock"))?.as_nanos();
    let seed = options
        .seed
        .unwrap_or_else(|| u64::try_from(clock % 1_000_000_007).unwrap_or_default());
    println!("seed {seed}");
    let clips = clips(&options.server)?;
    let clip = Arc::new(Clip::make(&clips, KILOBITS)?);
    let circle = Circle::make(&clips, KILOBITS)?;
    let settings = settings(&plan, options);
    let server = Rillcast::configured(&options.server, &options.folder, &config(), &settings)?;
    let good = Good::publish(&server, &clip, circle, &options.folder)?;
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
    let rest = Rest::of(&baseline);
    let samples = [baseline.cadence, baseline.srt].map(|it| it.samples);
    let mut rows = vec![baseline];
    good.check()?;
    let healthy = healthy(&server).await?;
    let harmed = healthy.iter().find(|(_, it)| !it.is_whole());
    ensure!(harmed.is_none(), "before the attacks: {harmed:?}");
    ensure!(
        samples.into_iter().all(|it| it > FEWEST),
        "the viewers saw only {samples:?} parts over RTMP and SRT before the attacks"
    );

    let arena = Arena {
        rtmp: server.rtmp(),
        http: server.http(),
        srt: good.srt(),
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
    let calls = server.lines().await?;
    let counts = good.seen().counts();
    let stopped = [good.stop().await, server.stop(Duration::from_secs(10))];
    let failed = stopped.into_iter().filter_map(Result::err);
    faults.extend(failed.map(|error| error.to_string()));

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
    println!(
        "{} good callers of SRT: {} packets, {} found missing and sent again, {} dropped",
        calls.connections, calls.received, calls.lost, calls.dropped
    );
    println!("{} lines of the log name an offender", lines.total());
    if faults.is_empty() {
        println!("seed {seed}: nobody noticed");
        return Ok(());
    }
    let faults = faults.join("\n  ");
    Err(Error::new(format!("seed {seed}:\n  {faults}")))
}

/// Where clips are kept: beside what cargo builds.
fn clips(server: &Path) -> Result<PathBuf> {
    let target = server.ancestors().nth(2).unwrap_or(Path::new("."));
    let folder = target.join("bench-clips");
    std::fs::create_dir_all(&folder).map_err(Error::of(folder.display()))?;
    Ok(folder)
}

/// The good streams, in kb/s: enough to be real, and little beside a build of
/// the server without optimisation.
const KILOBITS: u32 = 500;

/// How much more than a tenth may be resident after the same attacks again: the
/// first time may leave its mark, the same again finds room in it. A leak of what
/// one connection needs (15 KB) would add as much.
const RESIDENT_SLACK: u64 = 8 << 20;
