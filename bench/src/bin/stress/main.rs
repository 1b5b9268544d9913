//! The bus under stress: `cargo xtask stress`.
//!
//! Readers of every way (tasks, groups, the reactor; raw and for decoders) come
//! and go, stall, hold frames, forget to read, while publishers leave and come
//! back, take over from each other, fall silent and end. Each reader checks what
//! it sees against what was published: that it starts at a keyframe, misses
//! nothing but what it is told of, by the exact count, goes on at a keyframe, sees
//! one break for each publisher that continued the stream, has the right
//! configurations, and ends after all that was published.
//!
//! `publishers.rs` is who publishes, `readers.rs` who reads, `checker.rs` what a
//! reader may see, `life.rs` what both agree on, `memory.rs` the run before, in
//! which nobody reads. The seed is printed; it fixes what each does, not when.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a stress run talks to a person"
)]

mod checker;
mod life;
mod memory;
mod publishers;
mod readers;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use readers::Stage;
use rillcast_bench::{Chance, Error, Result};
use rillcast_core::{Groups, Reactor, Registry, RegistryConfig, StreamKey};
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use world::World;

/// The bus under stress: exits with the first violated invariant in a sentence.
#[derive(Parser)]
struct Options {
    /// How long, in seconds.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Readers at one time.
    #[arg(long, default_value_t = 200)]
    readers: u64,
    /// Streams at one time.
    #[arg(long, default_value_t = 6)]
    streams: u64,
    /// Threads of the runtime.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// The seed of all chance; by default another one each time. It is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Leave out the run in which nobody reads.
    #[arg(long)]
    without_memory: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result {
    let seed = options.seed.unwrap_or_else(|| {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        u64::try_from(now.as_micros()).unwrap_or_default()
    });
    println!("Seed {seed}.");
    if !options.without_memory {
        memory::run()?;
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(options.threads)
        .enable_all()
        .build()
        .map_err(Error::of("a runtime"))?;
    let world = Arc::new(World::new(Registry::new(RegistryConfig::default())));
    let stressed = runtime.block_on(stress(options, seed, &world));
    runtime.shutdown_timeout(PATIENCE);
    println!("\n{}", world.table());
    if let Some(violation) = world.violation() {
        return Err(Error::new(format!("{violation} (seed {seed})")));
    }
    stressed?;
    let used = world.registry.memory().used;
    if used > 0 {
        return Err(Error::new(format!(
            "{used} bytes are still held after all have gone (seed {seed})"
        )));
    }
    println!("No invariant was violated.");
    Ok(())
}

/// In which all of the world must have come to its end.
const PATIENCE: Duration = Duration::from_secs(30);

async fn stress(options: &Options, seed: u64, world: &Arc<World>) -> Result {
    let mut chance = Chance::new(seed);
    let keys = (0..options.streams.max(1)).map(|number| {
        let key = format!("live/{number}");
        StreamKey::parse(&key).map_err(Error::of(key))
    });
    let keys: Vec<_> = keys.collect::<Result<_>>()?;
    let mut publishers = JoinSet::new();
    for key in &keys {
        let chance = Chance::new(chance.next());
        publishers.spawn(publishers::run(Arc::clone(world), key.clone(), chance));
    }
    let mut watching = JoinSet::new();
    watching.spawn(watch(Arc::clone(world)));
    let beating = Arc::clone(world);
    watching.spawn(async move { beating.beat().await });

    let there = Arc::new(AtomicU64::new(0));
    let stage = Stage {
        world: Arc::clone(world),
        keys,
        groups: Groups::new(&Handle::current()),
        reactor: Reactor::new(&Handle::current(), options.threads),
        there: Arc::clone(&there),
    };
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let there = || there.load(Ordering::Relaxed);
    let mut number = 0;
    while Instant::now() < end && !world.is_over() {
        // Some at a time, so that they join at any place of a GOP.
        for _ in 0..8 {
            if there() < options.readers && stage.admit(number, &mut chance) {
                number += 1;
            }
        }
        sleep(Duration::from_millis(2)).await;
    }
    world.end();
    // Publishers end their streams, and that ends all who read.
    let all_end = async {
        while let Some(ended) = publishers.join_next().await {
            ended.map_err(Error::of("a publisher"))?;
        }
        while there() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    };
    let Ok(ended) = timeout(PATIENCE, all_end).await else {
        return Err(Error::new(format!(
            "{} readers were not ended with their streams (seed {seed})",
            there()
        )));
    };
    drop(stage);
    world.registry.shutdown();
    watching.shutdown().await;
    // The pumps let go of their streams in tasks of their own.
    let given_back = async {
        while world.registry.memory().used > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = timeout(Duration::from_secs(5), given_back).await;
    ended
}

/// Looks at what streams keep, all the time.
async fn watch(world: Arc<World>) {
    loop {
        sleep(Duration::from_millis(3)).await;
        let totals = &world.totals;
        for handle in world.registry.list() {
            let memory = handle.memory();
            let holding = totals.holding.load(Ordering::Relaxed);
            totals.kept.fetch_max(memory.kept, Ordering::Relaxed);
            totals.pinned.fetch_max(memory.pinned, Ordering::Relaxed);
            world.check(publishers::within_bounds(
                memory.kept,
                memory.pinned,
                holding,
            ));
        }
    }
}
