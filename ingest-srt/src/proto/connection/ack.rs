//! Acknowledgements: what was said of what has arrived, and what that tells of the round
//! trip (draft-sharabayko-srt sections 4.8.1 and 4.10).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Connection;
use crate::proto::packet::{AckBody, FullAck, Kind, Rates, SeqNumber};

/// What was acknowledged.
#[derive(Debug)]
pub(super) struct Acks {
    /// The number of the last full one.
    pub(super) number: u32,
    /// What the last full one, and the last of any kind, acknowledged.
    pub(super) full: SeqNumber,
    pub(super) light: SeqNumber,
    /// How many packets more the peer was told that there is room for.
    pub(super) told: u32,
    /// When the next full one is due, if there is anything to say.
    pub(super) at: Option<Instant>,
    /// Packets since the last one.
    pub(super) packets: u32,
    /// Those that were not acknowledged themselves yet, and when they were sent.
    pub(super) sent: VecDeque<(u32, Instant)>,
}

impl Acks {
    /// Nothing before `first`, and there is room for so many.
    pub(super) const fn new(first: SeqNumber, room: u32) -> Self {
        Self {
            number: 0,
            full: first,
            light: first,
            told: room,
            at: None,
            packets: 0,
            sent: VecDeque::new(),
        }
    }
}

impl Connection {
    /// The peer has our acknowledgement of that number.
    pub(super) fn acknowledged(&mut self, number: u32, now: Instant) {
        let sent = &mut self.acks.sent;
        let Some((first, _)) = sent.front() else {
            return;
        };
        // They are numbered one by one.
        let at = usize::try_from(number.wrapping_sub(*first)).unwrap_or(usize::MAX);
        if sent.get(at).is_none_or(|(sent, _)| *sent != number) {
            return;
        }
        // Those before it were lost, or their answers were.
        let at = sent.drain(..=at).next_back().map(|(_, at)| at);
        if let Some(at) = at {
            let guessed = !self.round_trip.measured;
            self.round_trip.add(now.saturating_duration_since(at));
            if guessed && self.nak_at.is_some() {
                self.nak_at = self.window.next_due(self.patience());
            }
        }
    }

    pub(super) fn acknowledge_lightly(&mut self, now: Instant) {
        self.acks.packets = 0;
        let next = self.window.acknowledged();
        if next == self.acks.light {
            return;
        }
        self.acks.light = next;
        let body = AckBody::Light { next };
        self.send(Kind::Ack { number: 0, body }, now);
    }

    /// Sends a full acknowledgement if there is anything new in it, the last one was not
    /// heard of, or said that the window is nearly full when it no longer is: the peer may
    /// wait for that.
    pub(super) fn acknowledge(&mut self, now: Instant) {
        // Less than two would stop some peers for good.
        let room = self.window.available(self.limits.bytes).max(2);
        let wider = self.is_narrow() && room >= self.acks.told.saturating_mul(2);
        let next = self.window.acknowledged();
        let unheard = self.acks.sent.back().map(|(_, at)| *at);
        // The first answer tells how soon to ask for what is lost: that is hurried.
        let patience = if self.round_trip.measured {
            self.round_trip.patience()
        } else {
            ACK_EVERY * 2
        };
        let again = unheard.is_some_and(|at| now.saturating_duration_since(at) >= patience);
        self.acks.at = None;
        if next == self.acks.full && !again && !wider {
            if unheard.is_some() {
                self.acks.at = Some(now + ACK_EVERY);
            }
            return;
        }
        self.acks.number = self.acks.number.wrapping_add(1).max(1);
        (self.acks.full, self.acks.light, self.acks.packets) = (next, next, 0);
        self.acks.told = room;
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let (packets_per_second, bytes) = self.rate.per_second(now);
        let body = AckBody::Full(FullAck {
            next,
            rtt: micros(self.round_trip.smoothed),
            rtt_variance: micros(self.round_trip.variance),
            available_buffer: room,
            rates: Some(Rates {
                packets_per_second,
                capacity: self.rate.capacity(),
                bytes_per_second: Some(u32::try_from(bytes).unwrap_or(u32::MAX)),
            }),
        });
        let number = self.acks.number;
        if self.acks.sent.len() >= UNHEARD {
            self.acks.sent.pop_front();
        }
        self.acks.sent.push_back((number, now));
        self.acks.at = Some(now + ACK_EVERY);
        self.send(Kind::Ack { number, body }, now);
    }

    /// Whether the peer was told that there is little room.
    pub(super) const fn is_narrow(&self) -> bool {
        self.acks.told < self.limits.packets / 4
    }
}

/// How often what has arrived is acknowledged (section 4.8.1), and after how many
/// packets sooner.
pub(super) const ACK_EVERY: Duration = Duration::from_millis(10);
pub(super) const LIGHT_ACK_EVERY: u32 = 64;

/// Acknowledgements whose answers are waited for.
const UNHEARD: usize = 1_024;
