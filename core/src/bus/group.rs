//! Groups: one task that hosts up to 512 futures, for consumers by the thousand.
//!
//! A task of its own costs each consumer of a frame a wake-up and a turn of the
//! scheduler. A member of a group costs a call: what wakes it is one bit
//! (`group/marks.rs`), what wakes 64 of them that read one stream is one write
//! (`wake/chunk.rs`), and the group's task polls whose bits are set
//! (`group/host.rs`).

use std::fmt;

use tokio::runtime::Handle;

use crate::sync::{Arc, Mutex};

mod host;
mod marks;
#[cfg(test)]
mod tests;

pub(super) use marks::{Bit, Marks, polled};

use host::{Group, Host, Hosted};

/// Hosts futures in groups, up to 512 to a task of tokio.
///
/// For many small consumers of few streams: where a stream has a hundred
/// subscriptions or more, its frames reach them at a fraction of what as many
/// tasks would cost. For a handful, spawn tasks;
/// for consumers that need no future at all there is [`Reactor`](crate::Reactor).
///
/// Any future will do, and wait for anything: sockets, timers and channels wake
/// a member alone. What it costs: the members of a group run on one worker, one
/// after the other, so none may compute for long, or block; and they have no
/// share of tokio's cooperative budget: a member that is always ready (a socket that
/// never empties) has to yield by itself now and then, as subscriptions do. The
/// group yields to other tasks after about 200 µs.
///
/// Clones share the groups. Members run on when all of them are dropped.
#[derive(Clone)]
pub struct Groups {
    runtime: Handle,
    /// Those with room.
    open: Open,
}

type Open = Arc<Mutex<Vec<Arc<Group>>>>;

impl Groups {
    /// Groups whose tasks run on `runtime`.
    #[must_use]
    pub fn new(runtime: &Handle) -> Self {
        Self {
            runtime: runtime.clone(),
            open: Arc::default(),
        }
    }

    /// Runs `future` in a group: one with room, or a new one. It is first polled
    /// there, never here.
    ///
    /// If it panics it is dropped, and costs no other member anything. When the
    /// runtime shuts down, it is dropped where it waits, like a task.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Member {
        let (member, new) = self.place(Box::pin(future));
        // Not while the list is locked: a runtime that has shut down drops the
        // host at once, which takes its group from the list.
        if let Some(host) = new {
            self.runtime.spawn(tokio::task::unconstrained(host));
        }
        member.group.summon();
        member
    }

    /// Gives `future` a place in a group, and the task of the group if it is new.
    fn place(&self, mut future: Hosted) -> (Member, Option<Host>) {
        let mut open = self.open.lock();
        let mut new = None;
        loop {
            let group = match open.last() {
                Some(group) => Arc::clone(group),
                None => {
                    let group = Group::new(&self.open);
                    new = Some(Host::new(&group));
                    open.push(Arc::clone(&group));
                    group
                }
            };
            match group.take_in(future) {
                Ok((member, is_full)) => {
                    if is_full {
                        open.pop();
                    }
                    return (member, new);
                }
                Err(refused) => future = refused,
            }
            open.pop();
        }
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

/// A future in a group. Dropping this lets it run on.
pub struct Member {
    group: Arc<Group>,
    place: usize,
    id: u64,
}

impl Member {
    /// Drops the future, soon and in its group's task, unless it has ended.
    pub fn abort(&self) {
        self.group.abort(self.place, self.id);
    }

    /// Whether the future has ended: by itself, by a panic, by
    /// [`abort`](Self::abort), or with its runtime. It has been dropped then.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        !self.group.hosts(self.place, self.id)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
