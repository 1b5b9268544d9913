//! A driver of a [`Session`] that does what a script of bytes says: it reads in
//! pieces of any size, lets time pass, answers a publish at once, late or never,
//! ends it, writes or does not.

use std::time::{Duration, Instant};

use rillcast_core::{BusConfig, StreamHandle};

use super::{check, limits};
use crate::proto::{Event, Farewell, Rejection, Session};
use crate::to_bus::{Stop, ToBus};

/// Cuts the input of a target in the script and the bytes of the peer: the first
/// byte says how long the script is.
pub(super) fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = data.split_first() else {
        return Default::default();
    };
    rest.split_at_checked(usize::from(*length))
        .unwrap_or((rest, Default::default()))
}

/// A connection whose other end has sent `wire`.
pub(super) struct Drive<'w> {
    session: Session,
    now: Instant,
    /// What was read and not yet taken, and what is still to be read.
    unread: &'w [u8],
    read: usize,
    /// The publish in force, and the one that waits for its answer.
    to_bus: Option<ToBus>,
    next: Option<ToBus>,
    asked: bool,
    answer: Answer,
}

/// What is done when a publish is asked for.
#[derive(Clone, Copy)]
enum Answer {
    Accept,
    Reject,
    Wait,
}

/// The session has failed, and the driver closes the connection.
struct Failed;

impl<'w> Drive<'w> {
    pub(super) fn new(wire: &'w [u8]) -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(limits(), now),
            now,
            unread: wire,
            read: 0,
            to_bus: None,
            next: None,
            asked: false,
            answer: Answer::Accept,
        }
    }

    /// Does what the script says, round and round until all is read or it has
    /// been done often enough, and then reads the rest.
    pub(super) fn run(mut self, script: &[u8]) {
        for step in script.iter().cycle().take(MOST_STEPS) {
            if self.read == self.unread.len() && self.unread.is_empty() {
                break;
            }
            if self.step(*step).is_err() {
                // Only what is left to say is of use now.
                while self.session.poll_transmit().is_some() {}
                return;
            }
        }
        self.answer = Answer::Accept;
        self.settle(Answer::Accept);
        self.read = self.unread.len();
        if self.take().is_ok() {
            assert!(self.unread.is_empty(), "bytes are left");
            self.session.close(&Farewell::Shutdown);
        }
        while self.session.poll_transmit().is_some() {}
        check(&self.session);
    }

    fn step(&mut self, step: u8) -> Result<(), Failed> {
        let size = usize::from(step >> 4);
        match step & 0xF {
            0..=6 => {
                let length = SIZES.get(size).copied().unwrap_or(1);
                self.read = self.read.saturating_add(length).min(self.unread.len());
                self.take()?;
            }
            7 => self.take()?,
            8 => {
                self.now += Duration::from_millis(10) * (1 << size.min(15));
                let late = self.now >= self.session.poll_timeout();
                let failed = self.session.handle_timeout(self.now).is_err();
                assert!(late || !failed, "failed before its time");
                if failed {
                    return Err(Failed);
                }
            }
            9 => self.settle(Answer::Accept),
            10 => self.settle(Answer::Reject),
            11 => {
                let farewells = [
                    Farewell::Kicked,
                    Farewell::TakenOver,
                    Farewell::Idle,
                    Farewell::Shutdown,
                    Farewell::Unusable("it cannot be used".to_owned()),
                ];
                if let Some(farewell) = farewells.get(size) {
                    self.close(farewell);
                }
            }
            12 => drop(self.session.poll_transmit()),
            13 => while self.session.poll_transmit().is_some() {},
            14 => self.answer = Answer::Wait,
            _ if size % 2 == 0 => self.answer = Answer::Accept,
            _ => self.answer = Answer::Reject,
        }
        check(&self.session);
        Ok(())
    }

    /// Feeds what was read.
    fn take(&mut self) -> Result<(), Failed> {
        loop {
            let (waiting, closed) = (self.asked, self.session.is_closed());
            let (read, _) = self.unread.split_at(self.read);
            let mut input = read;
            let event = self.session.handle_input(&mut input, self.now);
            let taken = read.len() - input.len();
            self.unread = self.unread.get(taken..).unwrap_or_default();
            self.read -= taken;
            check(&self.session);
            match event {
                Err(_) => return Err(Failed),
                Ok(None) if waiting => {
                    assert_eq!(taken, 0, "went on without its answer");
                    return Ok(());
                }
                Ok(None) => {
                    assert!(input.is_empty(), "bytes are left");
                    return Ok(());
                }
                Ok(Some(event)) => {
                    assert!(!waiting && !closed, "{event:?} comes too late");
                    self.act(event);
                }
            }
        }
    }

    fn act(&mut self, event: Event) {
        match event {
            Event::Publish(request) => {
                assert!(self.to_bus.is_none(), "published twice");
                let (publisher, _) = StreamHandle::new(request.key, BusConfig::default());
                self.next = Some(ToBus::new(
                    publisher,
                    &request.agent,
                    Default::default(),
                    self.now,
                ));
                self.asked = true;
                self.settle(self.answer);
            }
            Event::Media(media) => {
                assert!(!media.body.is_empty());
                let to_bus = self.to_bus.as_mut().expect("media outside of a publish");
                match to_bus.push(media, self.now) {
                    Ok(()) => {}
                    Err(Stop::Unusable(why)) => self.close(&Farewell::Unusable(why)),
                    Err(Stop::Closed(reason)) => panic!("closed by nobody: {reason:?}"),
                }
            }
            Event::Unpublished => assert!(self.to_bus.take().is_some(), "there was no publish"),
            Event::Refused(_) => {}
        }
    }

    /// Answers what was asked; if nothing was, the call must do no harm.
    fn settle(&mut self, answer: Answer) {
        match answer {
            Answer::Accept => {
                self.session.accept(self.now);
                self.to_bus = self.next.take().or(self.to_bus.take());
            }
            Answer::Reject => {
                self.session.reject(Rejection::Denied, "no");
                self.next = None;
            }
            Answer::Wait => return,
        }
        self.asked = false;
    }

    fn close(&mut self, farewell: &Farewell) {
        self.session.close(farewell);
        assert!(self.session.is_closed());
        self.asked = false;
        self.next = None;
        self.to_bus = None;
    }
}

/// The sizes of reads, from a byte to more than any message of a short input.
const SIZES: [usize; 16] = [
    1, 2, 3, 5, 11, 12, 17, 64, 127, 128, 129, 536, 1_460, 4_096, 16_384, 262_144,
];

/// A script may have no reads in it.
const MOST_STEPS: usize = 4_096;
