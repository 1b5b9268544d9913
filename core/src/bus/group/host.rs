//! A group: what its task and its members' owners share ([`Group`]), and the
//! task itself ([`Host`]).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::marks::{MAIL, MEMBERS, Marks, Roster, WORD, calling};
use super::{Member, Open};
use crate::sync::{Arc, Mutex, Weak};

/// What a group hosts.
pub(super) type Hosted = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long a group polls before it lets other tasks run.
const TURN: Duration = Duration::from_micros(200);

/// The clock is looked at after so many polls, or fewer of slow members, and
/// whenever members are polled a second time.
const POLLS: u32 = 32;

/// A group, as seen from outside of its task.
pub(super) struct Group {
    marks: Arc<Marks>,
    book: Mutex<Book>,
    /// Where the group stands while it has room.
    open: Weak<Mutex<Vec<Arc<Self>>>>,
}

/// Who has which place.
struct Book {
    /// By place, the number of its member; 0 if there is none.
    ids: Vec<u64>,
    free: Vec<usize>,
    next: u64,
    ended: bool,
    /// What the task has to do.
    mail: Mail,
}

#[derive(Default)]
struct Mail {
    new: Vec<(usize, Hosted)>,
    aborted: Vec<usize>,
}

impl Group {
    pub(super) fn new(open: &Open) -> Arc<Self> {
        let book = Book {
            ids: Vec::new(),
            free: Vec::new(),
            next: 1,
            ended: false,
            mail: Mail::default(),
        };
        Arc::new(Self {
            marks: Marks::new(),
            book: Mutex::new(book),
            open: Arc::downgrade(open),
        })
    }

    /// Gives `future` a place, and says whether it was the last one; gives it
    /// back if there is none. The task is to be summoned after this.
    pub(super) fn take_in(self: &Arc<Self>, future: Hosted) -> Result<(Member, bool), Hosted> {
        let mut book = self.book.lock();
        if book.ended {
            return Err(future);
        }
        let place = match book.free.pop() {
            Some(place) => place,
            None if book.ids.len() < MEMBERS => {
                book.ids.push(0);
                book.ids.len() - 1
            }
            None => return Err(future),
        };
        let id = book.next;
        book.next += 1;
        if let Some(own) = book.ids.get_mut(place) {
            *own = id;
        }
        book.mail.new.push((place, future));
        let is_full = book.is_full();
        drop(book);
        let group = Arc::clone(self);
        Ok((Member { group, place, id }, is_full))
    }

    /// Has the task look at what is new.
    pub(super) fn summon(&self) {
        self.marks.summon(MAIL);
    }

    pub(super) fn abort(&self, place: usize, id: u64) {
        let mut book = self.book.lock();
        // Once: it may end meanwhile, and another one take its place.
        if book.hosts(place, id) && !book.mail.aborted.contains(&place) {
            book.mail.aborted.push(place);
            drop(book);
            self.summon();
        }
    }

    pub(super) fn hosts(&self, place: usize, id: u64) -> bool {
        self.book.lock().hosts(place, id)
    }

    /// Takes a place back whose member is gone.
    fn release(self: &Arc<Self>, place: usize) {
        let mut book = self.book.lock();
        let was_full = book.is_full();
        if let Some(id) = book.ids.get_mut(place) {
            *id = 0;
        }
        book.free.push(place);
        book.mail.aborted.retain(|aborted| *aborted != place);
        drop(book);
        if was_full && let Some(open) = self.open.upgrade() {
            open.lock().push(Arc::clone(self));
        }
    }

    /// Ends the group if it has no member, so that none is taken in any more.
    fn end_if_empty(&self) -> bool {
        let mut book = self.book.lock();
        book.ended |= book.free.len() == book.ids.len();
        book.ended
    }

    /// Ends the group whatever it has, and gives back what was never begun.
    fn end(&self) -> Mail {
        let mut book = self.book.lock();
        book.ended = true;
        let mail = std::mem::take(&mut book.mail);
        drop(book);
        self.marks.set_task(None);
        if let Some(open) = self.open.upgrade() {
            open.lock().retain(|group| !std::ptr::eq(&**group, self));
        }
        mail
    }

    /// No member is left.
    fn clear(&self) {
        let mut book = self.book.lock();
        book.ids.clear();
        book.free.clear();
    }
}

impl Book {
    fn hosts(&self, place: usize, id: u64) -> bool {
        self.ids.get(place) == Some(&id)
    }

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.ids.len() == MEMBERS
    }
}

/// The task of a group.
pub(super) struct Host {
    group: Arc<Group>,
    roster: Arc<Roster>,
    seats: Vec<Option<Seat>>,
    /// What is left of this round: words, the one that is done now, and its members.
    words: u64,
    word: usize,
    members: u64,
    turn: Turn,
    /// All that were marked when the turn began have been polled.
    again: bool,
    /// Someone has left.
    left: bool,
    /// The waker that the marks have.
    task: Option<Waker>,
}

struct Seat {
    future: Hosted,
    waker: Waker,
}

/// What is left of a host's turn.
struct Turn {
    /// Polls until the clock is looked at, and from one look to the next.
    left: u32,
    most: u32,
    /// When it was looked at first.
    began: Option<Instant>,
}

impl Turn {
    const fn new() -> Self {
        Self {
            left: POLLS,
            most: POLLS,
            began: None,
        }
    }

    fn begin(&mut self) {
        self.left = self.most;
        self.began = (self.most < POLLS).then(Instant::now);
    }

    /// Looks at the clock.
    #[cold]
    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        let is_over = now.saturating_duration_since(began) > TURN;
        self.most = if is_over {
            (self.most / 2).max(1)
        } else {
            (self.most * 2).min(POLLS)
        };
        self.left = self.most;
        is_over
    }
}

/// Why the host stops.
enum Pause {
    /// There is nothing to poll.
    Done,
    /// It has had its turn.
    Turn,
}

impl Host {
    pub(super) fn new(group: &Arc<Group>) -> Self {
        Self {
            group: Arc::clone(group),
            roster: Roster::new(Arc::clone(&group.marks)),
            seats: Vec::new(),
            words: 0,
            word: 0,
            members: 0,
            turn: Turn::new(),
            again: false,
            left: false,
            task: None,
        }
    }

    /// Polls whose bits are set, until there are none or the turn is over.
    fn run(&mut self) -> Pause {
        loop {
            if self.poll_word() {
                return Pause::Turn;
            }
            if self.members != 0 {
                continue;
            }
            let is_new = self.words == 0;
            if !self.next_word() {
                return Pause::Done;
            }
            if is_new && std::mem::replace(&mut self.again, true) && self.turn.is_over() {
                return Pause::Turn;
            }
        }
    }

    /// Polls the marked members of the word, until one has ended; whether the
    /// turn is over.
    fn poll_word(&mut self) -> bool {
        let first = self.word * WORD;
        let seats = self.seats.get_mut(first..).unwrap_or_default();
        let roster = &*self.roster;
        // Written back when it is left, but for a panic, which is sorted out there.
        let mut members = self.members;
        let mut left = self.turn.left;
        while members != 0 {
            let bit = bit(members);
            members &= members - 1;
            if let Some(Some(seat)) = seats.get_mut(bit) {
                roster.note(first + bit);
                let mut cx = Context::from_waker(&seat.waker);
                if seat.future.as_mut().poll(&mut cx).is_ready() {
                    (self.members, self.turn.left) = (members, left);
                    self.leave(first + bit);
                    return false;
                }
            }
            left -= 1;
            if left == 0 {
                let is_over = self.turn.is_over();
                left = self.turn.left;
                if is_over {
                    self.members = members;
                    return true;
                }
            }
        }
        (self.members, self.turn.left) = (0, left);
        false
    }

    /// Drops the member that panicked, and goes on behind it.
    fn bury(&mut self) {
        tracing::error!("a member of a group panicked and is dropped");
        let place = self.roster.noted();
        self.members &= u64::MAX << (place % WORD) << 1;
        self.leave(place);
    }

    /// Goes on to the next word with members to poll. All that were marked when
    /// a round began are polled before any a second time.
    fn next_word(&mut self) -> bool {
        if self.words == 0 {
            self.words = self.group.marks.take_summary();
            if self.words & MAIL != 0 {
                self.words &= !MAIL;
                self.read_mail();
            }
        }
        if self.words == 0 {
            return false;
        }
        self.word = bit(self.words);
        self.words &= self.words - 1;
        self.members = self.group.marks.take(self.word);
        true
    }

    fn read_mail(&mut self) {
        let mail = std::mem::take(&mut self.group.book.lock().mail);
        for (place, future) in mail.new {
            if self.seats.len() <= place {
                self.seats.resize_with(place + 1, || None);
            }
            let seat = self.seats.get_mut(place);
            if let Some(seat) = seat
                && let Some(waker) = self.roster.waker(place)
            {
                let waker = waker.clone();
                waker.wake_by_ref();
                *seat = Some(Seat { future, waker });
            }
        }
        for place in mail.aborted {
            self.leave(place);
        }
    }

    /// Drops a member, and frees its place.
    #[cold]
    fn leave(&mut self, place: usize) {
        self.left = true;
        if let Some(seat) = self.seats.get_mut(place).and_then(Option::take) {
            discard(seat.future);
        }
        self.group.release(place);
    }
}

impl Future for Host {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let host = &mut *self;
        if !(host.task.as_ref()).is_some_and(|task| task.will_wake(cx.waker())) {
            host.task = Some(cx.waker().clone());
            host.group.marks.set_task(host.task.as_ref());
        }
        host.turn.begin();
        host.again = false;
        let roster = Arc::clone(&host.roster);
        let pause = calling(&roster, || {
            loop {
                match catch_unwind(AssertUnwindSafe(|| host.run())) {
                    Ok(pause) => break pause,
                    Err(_) => {
                        host.bury();
                    }
                }
            }
        });
        if let Pause::Turn = pause {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if std::mem::take(&mut host.left) && host.group.end_if_empty() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Host {
    /// Ends the group, by itself or because the runtime shuts down.
    fn drop(&mut self) {
        let mail = self.group.end();
        let begun = self.seats.drain(..).flatten().map(|seat| seat.future);
        let all = begun.chain(mail.new.into_iter().map(|(_, future)| future));
        for future in all {
            discard(future);
        }
        self.group.clear();
    }
}

/// Drops a member; if it panics meanwhile, others are dropped all the same.
fn discard(member: Hosted) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(member)));
    if dropped.is_err() {
        tracing::error!("a member of a group panicked while it was dropped");
    }
}

/// The lowest bit that is set.
const fn bit(set: u64) -> usize {
    set.trailing_zeros() as usize
}
