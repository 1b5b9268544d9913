//! Which members of a group are to be polled: one bit for each.
//!
//! A bit is set, then the bit of its word in the summary, then the group's task
//! is woken; whoever finds bits set already leaves the rest to the one that set
//! them. The task takes the summary first, then the words: a bit that is set in
//! between is found at once, and looked for in vain once more.

use std::task::{Wake, Waker};

use crate::sync::{AcqRel, Arc, ArcCell, AtomicU64, AtomicUsize, OnceLock, Relaxed};

/// Members of a group.
pub(in crate::bus) const MEMBERS: usize = WORDS * WORD;

/// Words of a group: they stand in one line of the cache.
pub(super) const WORDS: usize = 8;

/// Members of a word.
pub(in crate::bus) const WORD: usize = 64;

/// Of the summary: there is mail for the task.
pub(super) const MAIL: u64 = 1 << WORDS;

/// What wakes a group and its members.
pub(in crate::bus) struct Marks {
    /// One bit per member that is to be polled.
    words: [AtomicU64; WORDS],
    /// One bit per word that has such members, and [`MAIL`].
    summary: AtomicU64,
    task: ArcCell<Waker>,
}

impl Marks {
    pub(in crate::bus) fn new() -> Arc<Self> {
        Arc::new(Self {
            words: std::array::from_fn(|_| AtomicU64::new(0)),
            summary: AtomicU64::new(0),
            task: ArcCell::empty(),
        })
    }

    /// Has those members of a word polled whose bits are set.
    #[inline]
    pub(in crate::bus) fn mark(&self, word: usize, members: u64) {
        if let Some(marked) = self.words.get(word)
            && marked.fetch_or(members, AcqRel) == 0
        {
            self.summon(1 << word);
        }
    }

    /// Wakes the task for what `bit` says.
    pub(super) fn summon(&self, bit: u64) {
        if self.summary.fetch_or(bit, AcqRel) == 0
            && let Some(task) = &*self.task.load()
        {
            task.wake_by_ref();
        }
    }

    /// The task, which is to look at everything after this; `None` once it ends.
    pub(in crate::bus) fn set_task(&self, task: Option<&Waker>) {
        self.task.store(task.map(|task| Arc::new(task.clone())));
        // Whoever sets a bit after this finds the task; the bits that were set
        // before are found by the look that follows, though it is relaxed.
        self.summary.fetch_or(0, AcqRel);
    }

    /// Takes the summary.
    pub(in crate::bus) fn take_summary(&self) -> u64 {
        // Most looks find nothing: who sets a bit from now on wakes the task anew.
        if self.summary.load(Relaxed) == 0 {
            return 0;
        }
        self.summary.swap(0, AcqRel)
    }

    /// Takes the members of a word that are to be polled.
    pub(in crate::bus) fn take(&self, word: usize) -> u64 {
        (self.words.get(word)).map_or(0, |marked| marked.swap(0, AcqRel))
    }
}

/// A member's place: what its waker holds.
struct Member {
    marks: Arc<Marks>,
    place: usize,
}

impl Wake for Member {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.marks.mark(self.place / WORD, 1 << (self.place % WORD));
    }
}

/// The wakers of a group's places, and which of them is polled now.
pub(super) struct Roster {
    marks: Arc<Marks>,
    wakers: Box<[OnceLock<Waker>]>,
    polled: AtomicUsize,
}

impl Roster {
    pub(super) fn new(marks: Arc<Marks>) -> Arc<Self> {
        Arc::new(Self {
            marks,
            wakers: (0..MEMBERS).map(|_| OnceLock::new()).collect(),
            polled: AtomicUsize::new(usize::MAX),
        })
    }

    /// The waker of a place, the same for all members that it will have: one
    /// that is called too late polls the next member, which does no harm.
    pub(super) fn waker(&self, place: usize) -> Option<&Waker> {
        let member = || Member {
            marks: Arc::clone(&self.marks),
            place,
        };
        let waker = self.wakers.get(place)?;
        Some(waker.get_or_init(|| Waker::from(Arc::new(member()))))
    }

    /// Notes that a member is polled from now on.
    #[inline]
    pub(super) fn note(&self, place: usize) {
        self.polled.store(place, Relaxed);
    }

    /// The member that is polled now, or was last.
    pub(super) fn noted(&self) -> usize {
        self.polled.load(Relaxed)
    }
}

tokio::task_local! {
    /// Of the group that is polled.
    static ROSTER: Arc<Roster>;
}

/// Runs `poll`, and lets who is polled by it know of its group.
pub(super) fn calling<T>(roster: &Arc<Roster>, poll: impl FnOnce() -> T) -> T {
    ROSTER.sync_scope(Arc::clone(roster), poll)
}

/// A member of a group, as a bit of one of its words.
pub(in crate::bus) struct Bit {
    pub(in crate::bus) marks: Arc<Marks>,
    pub(in crate::bus) word: usize,
    pub(in crate::bus) bit: usize,
}

/// The member that is polled here, if `waker` is its own: one that stands
/// for part of a member, or for another task, has to be woken itself.
pub(in crate::bus) fn polled(waker: &Waker) -> Option<Bit> {
    let roster = ROSTER.try_with(Arc::clone).ok()?;
    let place = roster.noted();
    let own = roster.wakers.get(place)?.get()?;
    own.will_wake(waker).then(|| Bit {
        marks: Arc::clone(&roster.marks),
        word: place / WORD,
        bit: place % WORD,
    })
}
