//! The window of a running stream, and where to find windows.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rillcast_core::{Frame, Interest, Recv, StreamHandle, StreamKey, StreamWorker, Watched};

use super::budget::{Budget, Grant};
use super::config::{CmafConfig, Start};
use super::measure::WallClock;
use super::segmenter::Segmenter;
use super::snapshot::{Snapshot, State};

/// The live window of one stream life: the newest [`Snapshot`], and a way to
/// wait for the next.
///
/// It outlives the stream: what was listed stays readable.
pub struct Window {
    key: StreamKey,
    session: Arc<str>,
    snapshot: Watched<Snapshot>,
    /// When it was asked for last.
    asked: Asked,
    /// Its share of what all windows may hold: given back when this goes, and
    /// what is listed with it.
    _grant: Arc<Grant>,
}

impl Window {
    /// The stream.
    #[must_use]
    pub const fn key(&self) -> &StreamKey {
        &self.key
    }

    /// The session that stands in the URLs of its bytes.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The newest snapshot: one atomic load.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load()
    }

    /// The snapshot as a value to wait on.
    #[must_use]
    pub const fn watched(&self) -> &Watched<Snapshot> {
        &self.snapshot
    }

    /// When an ended window's time is over: it is kept for as long as what it
    /// lists, since players that are behind still read it.
    fn expires(&self) -> Option<Instant> {
        let snapshot = self.load();
        match snapshot.state {
            State::Ended { at } => Some(at + snapshot.listed_duration().max(LEAST_LINGER)),
            _ => None,
        }
    }

    /// Whether it is live, or has ended not long ago.
    fn is_kept(&self, now: Instant) -> bool {
        self.expires().is_none_or(|at| at > now)
    }

    /// A window that somebody has asked for.
    fn asked_for(self: &Arc<Self>, now: Instant) -> Arc<Self> {
        self.asked.note(now);
        Arc::clone(self)
    }

    /// A window that shows `snapshot`, for tests of what reads windows.
    #[cfg(test)]
    pub(crate) fn showing(snapshot: Snapshot, now: Instant) -> Self {
        Self {
            key: snapshot.key.clone(),
            session: Arc::clone(&snapshot.session),
            snapshot: Watched::new(snapshot),
            asked: Asked::since(now),
            _grant: Arc::new(Grant::unlimited()),
        }
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("key", &self.key)
            .field("session", &self.session)
            .field("state", &self.load().state)
            .finish_non_exhaustive()
    }
}

/// The window of a live stream. The first call attaches the packager, which
/// then belongs to the stream; `config` is that call's.
///
/// Windows that shall be found after their stream has ended, and those that
/// `cmaf.total_memory` shall bind together, come from a [`Store`]: this one has
/// that much for itself.
#[must_use]
pub fn window(handle: &StreamHandle, config: &CmafConfig) -> Arc<Window> {
    window_within(handle, config, &Arc::default())
}

/// The same; the packager that the first call attaches takes what it needs from
/// `budget`.
fn window_within(handle: &StreamHandle, config: &CmafConfig, budget: &Arc<Budget>) -> Arc<Window> {
    let slot = handle.slot(|| Slot::new(handle, config, budget));
    if let Some(packager) = slot.packager() {
        handle.attach_worker(packager);
    }
    Arc::clone(&slot.window)
}

/// The window of a stream that is packaged already; attaches nothing.
#[must_use]
pub fn existing_window(handle: &StreamHandle) -> Option<Arc<Window>> {
    let slot = handle.existing_slot::<Slot>()?;
    Some(Arc::clone(&slot.window))
}

/// When a window was asked for last, as every request of every viewer notes.
#[derive(Debug)]
struct Asked {
    base: Instant,
    /// Milliseconds after `base`, and one; 0 if nobody ever asked.
    at: AtomicU64,
}

impl Asked {
    const fn since(base: Instant) -> Self {
        Self {
            base,
            at: AtomicU64::new(0),
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        let after = now.saturating_duration_since(self.base).as_millis();
        u64::try_from(after)
            .unwrap_or(u64::MAX - 1)
            .saturating_add(1)
    }

    fn note(&self, now: Instant) {
        let at = self.millis(now);
        // Most requests come within the same millisecond as another one, or have
        // only to be told from those of a second ago: no cache line is fought for.
        let known = self.at.load(Relaxed);
        if known == 0 || known.abs_diff(at) > NOTED_EVERY {
            self.at.store(at, Relaxed);
        }
    }

    /// Whether somebody has asked within `linger` of `now`. Who uses a window
    /// without a [`Store`] is never noted, and never paused for.
    fn lately(&self, now: Instant, linger: Duration) -> bool {
        let at = self.at.load(Relaxed);
        let linger = u64::try_from(linger.as_millis()).unwrap_or(u64::MAX);
        at == 0 || self.millis(now).saturating_sub(at) <= linger
    }
}

/// What a stream's slot holds: the window, and the packager until somebody has
/// attached it.
struct Slot {
    window: Arc<Window>,
    packager: Mutex<Option<Packager>>,
}

impl Slot {
    fn new(handle: &StreamHandle, config: &CmafConfig, budget: &Arc<Budget>) -> Self {
        let grant = Grant::new(Arc::clone(budget), config.total_memory.0);
        let grant = Arc::new(grant);
        let (wall, at) = handle.clocks();
        let mut segmenter = Segmenter::new(
            handle.key().clone(),
            handle.session(),
            config.clone(),
            WallClock::new(wall, at),
        )
        .with_grant(Arc::clone(&grant))
        .with_known_gop(handle.qos().gop_duration);
        let first = segmenter.snapshot_now();
        let window = Arc::new(Window {
            key: handle.key().clone(),
            session: Arc::clone(&first.session),
            snapshot: Watched::new((*first).clone()),
            asked: Asked::since(at),
            _grant: grant,
        });
        let linger = (config.start == Start::OnDemand).then_some(config.linger.0);
        Self {
            packager: Mutex::new(Some(Packager {
                segmenter,
                window: Arc::clone(&window),
                linger,
                last: None,
            })),
            window,
        }
    }

    fn packager(&self) -> Option<Packager> {
        self.packager
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// The worker that keeps a stream's window: what it reads from the bus goes
/// through the segmenter into the snapshot.
#[derive(Debug)]
struct Packager {
    segmenter: Segmenter,
    window: Arc<Window>,
    /// How long after the last request it pauses, if it ever does.
    linger: Option<Duration>,
    /// The time of the last call.
    last: Option<Instant>,
}

impl Packager {
    /// When a frame came that may have waited for others to be of interest: a
    /// track stalls so long after its last frame and not after it was read.
    fn came(&mut self, received: Instant, now: Instant) -> Instant {
        let earliest = now.checked_sub(LONGEST_WAIT).unwrap_or(now);
        let earliest = self.last.map_or(earliest, |last| last.max(earliest));
        let at = received.clamp(earliest.min(now), now);
        self.at(at)
    }

    fn at(&mut self, now: Instant) -> Instant {
        self.last = Some(now);
        now
    }

    /// Pauses before `frame` when nobody has asked for long: before a keyframe, so
    /// that who comes gets all from there, unless none has come for long either.
    fn mind_absence(&mut self, frame: &Frame, now: Instant) {
        let Some(linger) = self.linger else {
            return;
        };
        let watched = |linger| self.window.asked.lately(now, linger);
        let begins = self.segmenter.begins_gop(frame);
        if !self.segmenter.is_paused() && !watched(linger) && (begins || !watched(linger * 2)) {
            self.segmenter.pause(now);
        }
    }

    /// Goes on when somebody asks.
    fn mind_viewers(&mut self, now: Instant) {
        if let Some(linger) = self.linger
            && self.segmenter.is_paused()
            && self.window.asked.lately(now, linger)
        {
            self.segmenter.resume(now);
        }
    }

    /// Shows viewers what has changed.
    fn publish(&mut self) {
        let Some(snapshot) = self.segmenter.snapshot() else {
            return;
        };
        #[cfg(debug_assertions)]
        if let Err(violation) = super::check(Some(&self.window.load()), &snapshot) {
            tracing::error!(stream = %self.window.key, %violation, "the window breaks a law");
            debug_assert!(false, "{violation}");
        }
        self.window.snapshot.store(snapshot);
    }
}

impl Drop for Packager {
    /// A panic has ended it before the stream: nothing will be added any more,
    /// and who waits for more must not wait for ever. The stream's publisher and
    /// its other readers go on.
    fn drop(&mut self) {
        let window = self.window.load();
        let (Some(at), false) = (self.last, window.is_ended()) else {
            return;
        };
        self.window.snapshot.store(Arc::new(window.cut_off(at)));
    }
}

impl StreamWorker for Packager {
    fn on_recv(&mut self, recv: Recv<'_>, now: Instant) {
        let now = match &recv {
            Recv::Frame(frame) => self.came(frame.received, now),
            _ => self.at(now),
        };
        match recv {
            Recv::Frame(frame) => {
                self.mind_absence(&frame, now);
                self.segmenter.frame(&frame, now);
            }
            Recv::Track(track) => self.segmenter.track(track, now),
            Recv::Lagged { skipped } => self.segmenter.lost(skipped, now),
            Recv::Discontinuity(discontinuity) => {
                self.segmenter.discontinuity(discontinuity, now);
            }
            Recv::Ended => self.segmenter.end(now),
            // Whatever the bus learns to carry, a packager cuts frames.
            _ => {}
        }
        self.mind_viewers(now);
        self.publish();
    }

    fn deadline(&self) -> Option<Instant> {
        self.segmenter.deadline()
    }

    fn interest(&self) -> Interest {
        self.segmenter.interest()
    }

    fn on_deadline(&mut self, now: Instant) {
        let now = self.at(now);
        self.segmenter.on_deadline(now);
        self.publish();
    }
}

/// Requests within so many milliseconds of another one need not be noted.
const NOTED_EVERY: u64 = 250;

/// What a frame says of its arrival is believed for so long: it waits for no
/// longer than a part takes, and not every publisher tells the truth.
const LONGEST_WAIT: Duration = Duration::from_millis(300);

/// The windows of one registry: those of its live streams, and those of
/// streams that have ended a while ago.
///
/// Keep one for each registry (`cx.shared(Store::new)`), so that all egresses
/// find the same windows, and `cmaf.total_memory` binds all of them together.
#[derive(Debug, Default)]
pub struct Store {
    budget: Arc<Budget>,
    windows: Mutex<HashMap<StreamKey, Vec<Arc<Window>>>>,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The window of a live stream, as [`window`]; from now on the store finds it.
    pub fn open(&self, handle: &StreamHandle, config: &CmafConfig, now: Instant) -> Arc<Window> {
        let window = window_within(handle, config, &self.budget);
        let mut windows = self.swept(now);
        let of_key = windows.entry(handle.key().clone()).or_default();
        if !of_key.iter().any(|known| Arc::ptr_eq(known, &window)) {
            of_key.push(Arc::clone(&window));
        }
        window.asked_for(now)
    }

    /// The newest window of a stream, live or ended: what playlists show. Who
    /// looks it up counts as a viewer for as long as packaging lingers.
    #[must_use]
    pub fn get(&self, key: &StreamKey, now: Instant) -> Option<Arc<Window>> {
        let windows = self.lock();
        let newest = windows.get(key)?.last();
        let newest = newest.filter(|window| window.is_kept(now));
        newest.map(|window| window.asked_for(now))
    }

    /// The window of one life of a stream, live or ended: where its bytes are.
    /// `key` is the text of the stream's key; one that is none has no window.
    #[must_use]
    pub fn find(&self, key: &str, session: &str, now: Instant) -> Option<Arc<Window>> {
        let windows = self.lock();
        let mut of_key = windows.get(key)?.iter().rev();
        let window = of_key.find(|window| window.session() == session);
        let window = window.filter(|window| window.is_kept(now));
        window.map(|window| window.asked_for(now))
    }

    /// Lets go of ended windows whose time is over. [`Store::open`] does so
    /// too; looking one up does not, since every request of every viewer looks
    /// one up. Call this about once a second.
    pub fn sweep(&self, now: Instant) {
        drop(self.swept(now));
    }

    /// How many windows there are, and the bytes of media that they hold.
    #[must_use]
    pub fn usage(&self, now: Instant) -> (usize, u64) {
        let windows = self.swept(now);
        let all = windows.values().flatten();
        all.fold((0, 0), |(count, bytes), window| {
            (count + 1, bytes + window.load().memory)
        })
    }

    /// The bytes that its windows have taken of `cmaf.total_memory`: what they
    /// hold, rounded up, until they are let go of.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        self.budget.used()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, Vec<Arc<Window>>>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The windows, without those whose time is over.
    fn swept(&self, now: Instant) -> MutexGuard<'_, HashMap<StreamKey, Vec<Arc<Window>>>> {
        let mut windows = self.lock();
        windows.retain(|_, of_key| {
            of_key.retain(|window| window.is_kept(now));
            // A stream that comes and goes quickly leaves only so many behind.
            let excess = of_key.len().saturating_sub(MOST_PER_KEY);
            of_key.drain(..excess);
            !of_key.is_empty()
        });
        let mut ended: Vec<(Instant, Arc<Window>)> = windows
            .values()
            .flatten()
            .filter_map(|window| Some((window.expires()?, Arc::clone(window))))
            .collect();
        // The longest to live first: the others go when there are too many.
        ended.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let (mut count, mut bytes) = (0, 0);
        ended.retain(|(_, window)| {
            count += 1;
            bytes += window.load().memory;
            count > MOST_ENDED || (count > 1 && bytes > MOST_ENDED_BYTES)
        });
        if !ended.is_empty() {
            let gone = |window: &Arc<Window>| ended.iter().any(|(_, w)| Arc::ptr_eq(w, window));
            windows.retain(|_, of_key| {
                of_key.retain(|window| !gone(window));
                !of_key.is_empty()
            });
        }
        windows
    }
}

/// An ended window without a listing may still say that it has ended.
const LEAST_LINGER: Duration = Duration::from_secs(5);

/// Windows of one key that are kept: the live one and a few that have ended.
const MOST_PER_KEY: usize = 4;

/// Ended windows that are kept in all…
const MOST_ENDED: usize = 32;

/// … and the bytes that they hold together, of which the last one may hold all.
const MOST_ENDED_BYTES: u64 = 256 << 20;
