//! The threads that connections live on: [`Threads`].
//!
//! Media servers do very little per message and very often. On threads that
//! share their work, nearly each message wakes a second thread to look whether
//! it could help, which costs more than the message. Here each thread has its
//! own tasks: a connection is given to one, and stays there together with what
//! its stream does (a stream's tasks run where it was published).

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::thread::{Builder as ThreadBuilder, available_parallelism};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sync::{Arc, AtomicUsize, Relaxed};

/// Some threads, each with a single-threaded tokio runtime of its own.
///
/// Clones share them. They end at [`stop`](Self::stop), or when the last clone
/// and the last [`Placement`] are dropped, and what runs on them is dropped then.
/// What belongs to one thread must not block it: everything else there waits.
#[derive(Clone, Debug)]
pub struct Threads {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    handles: Box<[Handle]>,
    /// How many connections of whatever kind each thread has.
    loads: Arc<[AtomicUsize]>,
    stop: CancellationToken,
    /// Holds a token per thread.
    running: TaskTracker,
}

impl Threads {
    /// No threads of their own: everything runs on the runtime of whoever
    /// spawns it.
    #[must_use]
    pub fn none() -> Self {
        Self::of(Box::default(), CancellationToken::new(), TaskTracker::new())
    }

    /// Starts `count` threads; `None` is one for each core that this process
    /// may use.
    ///
    /// # Errors
    /// The system refuses a thread or its event queue; none is left then.
    pub fn start(count: Option<NonZeroUsize>) -> io::Result<Self> {
        let count = count.map_or_else(
            || available_parallelism().map_or(1, usize::from),
            usize::from,
        );
        let stop = CancellationToken::new();
        // Those that run already end if a later one cannot be started.
        let unfinished = stop.clone().drop_guard();
        let running = TaskTracker::new();
        let handles = (0..count).map(|number| start(number, stop.clone(), &running));
        let handles = handles.collect::<io::Result<_>>()?;
        unfinished.disarm();
        Ok(Self::of(handles, stop, running))
    }

    fn of(handles: Box<[Handle]>, stop: CancellationToken, running: TaskTracker) -> Self {
        running.close();
        Self {
            pool: Arc::new(Pool {
                loads: handles.iter().map(|_| AtomicUsize::new(0)).collect(),
                handles,
                stop,
                running,
            }),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pool.handles.len()
    }

    /// A place to spawn connections of one kind from, which are spread evenly
    /// over the threads, a block at a time.
    #[must_use]
    pub fn placement(&self) -> Placement {
        let counts = self.pool.handles.iter().map(|_| AtomicUsize::new(0));
        Placement {
            counts: counts.collect(),
            threads: self.clone(),
        }
    }

    /// Ends the threads. What runs on them is dropped where it waits next.
    pub fn stop(&self) {
        self.pool.stop.cancel();
    }

    /// Waits until every thread has ended, after [`stop`](Self::stop). Cancel
    /// safe. To be called from none of them.
    pub async fn stopped(&self) {
        self.pool.running.wait().await;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts a thread that runs tasks until `stop`.
fn start(number: usize, stop: CancellationToken, running: &TaskTracker) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let runtime = Background(Some(runtime));
    let token = running.token();
    ThreadBuilder::new()
        .name(format!("rillcast-io-{number}"))
        .spawn(move || {
            if let Some(runtime) = &runtime.0 {
                runtime.block_on(stop.cancelled());
            }
            drop(runtime);
            drop(token);
        })?;
    Ok(handle)
}

/// A runtime that is dropped without waiting for what blocks in it, as it must
/// be within another one: where its thread cannot be started.
struct Background(Option<Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Where the connections of one kind are: how many each thread has.
#[derive(Debug)]
pub struct Placement {
    counts: Arc<[AtomicUsize]>,
    threads: Threads,
}

/// So many connections of a kind go to one thread before the next one gets any:
/// whoever is served right after another of its kind finds code and data in the
/// caches and its thread awake, which saves a tenth of the CPU. A core serves
/// many times as many.
const BLOCK: usize = 64;

impl Placement {
    /// Runs `connection` on one of the threads, where it stays; without
    /// threads, on the caller's runtime. `tasks` knows of it from now on.
    ///
    /// It is the first of those with the fewest blocks of this kind, a thread
    /// with fewer others before one with more.
    ///
    /// A socket belongs to the runtime that it was made in: hand over one of
    /// `std`, and make tokio's of it within `connection`.
    ///
    /// # Panics
    /// Without threads, outside of a tokio runtime.
    pub fn spawn<F>(&self, tasks: &TaskTracker, connection: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let threads = self.threads.pool.handles.iter().enumerate();
        let Some((thread, handle)) = threads.min_by_key(|(thread, _)| self.fullness(*thread))
        else {
            tasks.spawn(connection);
            return;
        };
        let counts = [&self.counts, &self.threads.pool.loads].map(Arc::clone);
        let seat = Seat::take(counts, thread);
        let connection = async move {
            connection.await;
            drop(seat);
        };
        tasks.spawn_on(connection, handle);
    }

    /// What speaks against a thread: whole blocks of this kind, then others.
    fn fullness(&self, thread: usize) -> (usize, usize) {
        let count = |counts: &[AtomicUsize]| counts.get(thread).map_or(0, |it| it.load(Relaxed));
        let own = count(&self.counts);
        let all = count(&self.threads.pool.loads);
        (own / BLOCK, all.saturating_sub(own))
    }
}

/// A connection on a thread, however it ends.
struct Seat {
    counts: [Arc<[AtomicUsize]>; 2],
    thread: usize,
}

impl Seat {
    fn take(counts: [Arc<[AtomicUsize]>; 2], thread: usize) -> Self {
        for count in counts.iter().filter_map(|counts| counts.get(thread)) {
            count.fetch_add(1, Relaxed);
        }
        Self { counts, thread }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for count in self.counts.iter().filter_map(|it| it.get(self.thread)) {
            count.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
