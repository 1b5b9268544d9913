//! Who may connect: connections are counted in all and per address, and what
//! is said about an address in the log is counted too.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::listener::network;

/// Counts connections. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    most: usize,
    most_per_address: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    /// When it was last said that all places are taken.
    full: Option<Said>,
    /// Connections of each network that has any.
    addresses: HashMap<IpAddr, usize>,
    /// What was said of an address.
    said: HashMap<(IpAddr, Subject), Said>,
}

/// Lines in one period, and what went unsaid in it.
#[derive(Debug)]
struct Said {
    begun: Instant,
    lines: u32,
    unsaid: u64,
}

/// What is said of an address; each is counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// It asks for what it cannot have.
    Refused,
    /// It breaks a rule of the protocol, or a bound.
    Broken,
    /// It sends media that is of no use.
    Unusable,
    /// It wants more connections than it may have.
    TooMany,
    /// It publishes. That is no offence; that it begins again and again is.
    Publishes,
}

/// A connection's place; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Slot {
    inner: Arc<Inner>,
    network: IpAddr,
}

/// Why a connection is not taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// A sentence for the log.
    pub(crate) reason: String,
    /// Whether it is worth a line, and if so, how many went without one.
    pub(crate) unsaid: Option<u64>,
}

/// An offender is named once in this time; what it does meanwhile is counted.
const PERIOD: Duration = Duration::from_secs(60);

/// Of the publishes of one address so many are told in a period: all those of an
/// honest machine that restarts, and few of one that does nothing else.
const PUBLISHES: u32 = 60;

/// Addresses remembered at once. Beyond it the oldest are forgotten, and each
/// may cost a line again.
const MAX_SUBJECTS: usize = 4_096;

impl Subject {
    /// How often it is said in a period.
    const fn lines(self) -> u32 {
        match self {
            Self::Publishes => PUBLISHES,
            Self::Refused | Self::Broken | Self::Unusable | Self::TooMany => 1,
        }
    }
}

impl Said {
    fn begin(now: Instant) -> Self {
        Self {
            begun: now,
            lines: 1,
            unsaid: 0,
        }
    }

    /// Whether another line is worth it, and if so, how many were not.
    fn again(&mut self, most: u32, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.begun) >= PERIOD {
            let unsaid = self.unsaid;
            *self = Self::begin(now);
            return Some(unsaid);
        }
        if self.lines < most {
            self.lines += 1;
            return Some(0);
        }
        self.unsaid += 1;
        None
    }
}

impl Admission {
    /// At most `most` connections, of which `most_per_address` from one network.
    pub(crate) fn new(most: usize, most_per_address: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                most,
                most_per_address,
                state: Mutex::default(),
            }),
        }
    }

    /// Takes a connection from `address` in.
    pub(crate) fn admit(&self, address: IpAddr, now: Instant) -> Result<Slot, Refusal> {
        let network = network(address);
        let mut state = self.inner.lock();
        let state = &mut *state;
        if state.connections >= self.inner.most {
            let unsaid = match &mut state.full {
                Some(said) => said.again(1, now),
                full => {
                    *full = Some(Said::begin(now));
                    Some(0)
                }
            };
            let reason = format!(
                "all {} connections are taken (rtmp.max_connections)",
                self.inner.most
            );
            return Err(Refusal { reason, unsaid });
        }
        let held = state.addresses.entry(network).or_default();
        if *held >= self.inner.most_per_address {
            let reason = format!(
                "{network} holds {held} connections already (rtmp.max_connections_per_address)"
            );
            let unsaid = state.tell(network, Subject::TooMany, now);
            return Err(Refusal { reason, unsaid });
        }
        *held += 1;
        state.connections += 1;
        Ok(Slot {
            inner: Arc::clone(&self.inner),
            network,
        })
    }

    /// Whether something about `address` is worth a line in the log, and if so,
    /// how much of it went unsaid in the period before.
    pub(crate) fn tell(&self, address: IpAddr, subject: Subject, now: Instant) -> Option<u64> {
        self.inner.lock().tell(network(address), subject, now)
    }
}

impl State {
    fn tell(&mut self, network: IpAddr, subject: Subject, now: Instant) -> Option<u64> {
        if let Some(said) = self.said.get_mut(&(network, subject)) {
            return said.again(subject.lines(), now);
        }
        if self.said.len() >= MAX_SUBJECTS {
            let fresh = |begun: Instant| now.saturating_duration_since(begun) < PERIOD;
            self.said.retain(|_, said| fresh(said.begun));
            if self.said.len() >= MAX_SUBJECTS {
                self.said.clear();
            }
        }
        self.said.insert((network, subject), Said::begin(now));
        Some(0)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; counts are right at every point.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.connections = state.connections.saturating_sub(1);
        if let Some(held) = state.addresses.get_mut(&self.network) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                state.addresses.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let admission = Admission::new(3, 2);
        let now = Instant::now();
        let admit = |address| admission.admit(ip(address), now);
        let first = admit("10.0.0.1").unwrap();
        let second = admit("10.0.0.1").unwrap();
        let refusal = admit("10.0.0.1").unwrap_err().reason;
        assert!(refusal.contains("10.0.0.1 holds 2"), "{refusal}");
        let third = admit("10.0.0.2").unwrap();
        let refusal = admit("10.0.0.3").unwrap_err().reason;
        assert!(refusal.contains("rtmp.max_connections)"), "{refusal}");
        drop(third);
        let third = admit("10.0.0.2").unwrap();
        assert!(admit("10.0.0.3").is_err());
        drop((first, third));
        let again = admit("10.0.0.1").unwrap();
        drop((second, again));
        assert!(admission.inner.lock().addresses.is_empty());
        assert_eq!(admission.inner.lock().connections, 0);
    }

    /// However often a peer comes and goes meanwhile.
    #[test]
    fn a_refusal_is_said_once_in_a_while() {
        for (most, most_per_address) in [(1, 9), (9, 1)] {
            let admission = Admission::new(most, most_per_address);
            let start = Instant::now();
            for (seconds, want) in [(0, Some(0)), (1, None), (59, None), (60, Some(2))] {
                let now = start + Duration::from_secs(seconds);
                let _slot = admission.admit(ip("10.0.0.1"), now).unwrap();
                let refusal = admission.admit(ip("10.0.0.1"), now).unwrap_err();
                assert_eq!(refusal.unsaid, want, "{most} {seconds}");
            }
        }
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let admission = Admission::new(10, 1);
        let now = Instant::now();
        let _slot = admission.admit(ip("2001:db8::1"), now).unwrap();
        assert!(admission.admit(ip("2001:db8::2"), now).is_err());
        assert!(admission.admit(ip("2001:db8:0:1::1"), now).is_ok());
    }

    #[test]
    fn an_offender_is_named_once_in_a_while() {
        let admission = Admission::new(1, 1);
        let start = Instant::now();
        let tell = |seconds| {
            admission.tell(
                ip("10.0.0.1"),
                Subject::Broken,
                start + Duration::from_secs(seconds),
            )
        };
        assert_eq!(tell(0), Some(0));
        for second in 1..60 {
            assert_eq!(tell(second), None);
        }
        assert_eq!(tell(61), Some(59));
        assert_eq!(tell(62), None);
        assert_eq!(
            admission.tell(ip("10.0.0.1"), Subject::Refused, start),
            Some(0)
        );
        for offender in 0..3 * u32::try_from(MAX_SUBJECTS).unwrap() {
            admission.tell(IpAddr::from(offender.to_be_bytes()), Subject::Broken, start);
            assert!(admission.inner.lock().said.len() <= MAX_SUBJECTS);
        }
    }

    #[test]
    fn publishes_are_told_until_they_are_too_many() {
        let admission = Admission::new(1, 1);
        let now = Instant::now();
        for _ in 0..PUBLISHES {
            assert_eq!(
                admission.tell(ip("10.0.0.1"), Subject::Publishes, now),
                Some(0)
            );
        }
        for _ in 0..1_000 {
            assert_eq!(
                admission.tell(ip("10.0.0.1"), Subject::Publishes, now),
                None
            );
        }
        assert_eq!(
            admission.tell(ip("10.0.0.2"), Subject::Publishes, now),
            Some(0)
        );
        let later = now + PERIOD;
        assert_eq!(
            admission.tell(ip("10.0.0.1"), Subject::Publishes, later),
            Some(1_000)
        );
    }
}
