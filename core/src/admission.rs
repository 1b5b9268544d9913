//! Who may connect: connections are counted in all and per address, and what
//! is said about an address in the log is counted too. Every listener has one;
//! it opens no socket itself.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts the connections of one listener. Clones share the count.
#[derive(Clone, Debug)]
pub struct Admission {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    section: &'static str,
    most: usize,
    most_per_address: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    /// When it was last said that all places are taken.
    full: Option<Said>,
    /// How many each network holds; those that hold none are not in it.
    networks: HashMap<IpAddr, usize>,
    /// What was said of a network.
    said: HashMap<(IpAddr, Subject), Said>,
}

/// Lines in one period, and what went unsaid in it.
#[derive(Debug)]
struct Said {
    begun: Instant,
    lines: u32,
    unsaid: u64,
}

/// What is said of an address in the log; each is counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    name: &'static str,
    lines: u32,
}

impl Subject {
    /// An offence, of which an address is told once a minute.
    #[must_use]
    pub const fn offence(name: &'static str) -> Self {
        Self::new(name, 1)
    }

    /// What is said of an address `lines` times a minute: it is no offence, only
    /// that it happens again and again is.
    #[must_use]
    pub const fn new(name: &'static str, lines: u32) -> Self {
        Self { name, lines }
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

/// A connection's place; dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    inner: Arc<Inner>,
    network: IpAddr,
}

/// Why a connection is not taken in: as text, a sentence for the log that names
/// the setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    section: &'static str,
    reason: Reason,
    unsaid: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Reason {
    Full(usize),
    Network(IpAddr, usize),
}

/// An offender is named once in this time; what it does meanwhile is counted.
/// No setting: it is what the log's readers rely on.
const PERIOD: Duration = Duration::from_secs(60);

/// Subjects remembered at once, some 100 bytes each. Beyond it the oldest are
/// forgotten, and each may cost a line again. No setting: it bounds memory, and
/// nothing that a peer sees.
const MAX_SUBJECTS: usize = 4_096;

/// An address wants more connections than it may have.
const TOO_MANY: Subject = Subject::offence("too many");

impl Admission {
    /// At most `most` connections, of which `most_per_address` from one
    /// [`network`]. `section` is where these are set, as `max_connections` and
    /// `max_connections_per_address`.
    #[must_use]
    pub fn new(section: &'static str, most: usize, most_per_address: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                section,
                most,
                most_per_address,
                state: Mutex::default(),
            }),
        }
    }

    /// Takes a connection from `address` in.
    ///
    /// # Errors
    /// A [`Refusal`] if there is no place for it.
    pub fn admit(&self, address: IpAddr, now: Instant) -> Result<Place, Refusal> {
        let network = network(address);
        let mut state = self.inner.lock();
        let held = state.networks.get(&network).copied().unwrap_or_default();
        let (reason, unsaid) = if state.connections >= self.inner.most {
            // Whoever comes: it is nobody's own fault.
            let unsaid = match &mut state.full {
                Some(said) => said.again(1, now),
                full => {
                    *full = Some(Said::begin(now));
                    Some(0)
                }
            };
            (Reason::Full(self.inner.most), unsaid)
        } else if held >= self.inner.most_per_address {
            let unsaid = state.tell(network, TOO_MANY, now);
            (Reason::Network(network, held), unsaid)
        } else {
            state.connections += 1;
            state.networks.insert(network, held + 1);
            return Ok(Place {
                inner: Arc::clone(&self.inner),
                network,
            });
        };
        Err(Refusal {
            section: self.inner.section,
            reason,
            unsaid,
        })
    }

    /// Whether something about `address` is worth a line in the log, and if so,
    /// how much of it went unsaid in the period before.
    #[must_use]
    pub fn tell(&self, address: IpAddr, subject: Subject, now: Instant) -> Option<u64> {
        self.inner.lock().tell(network(address), subject, now)
    }
}

impl State {
    fn tell(&mut self, network: IpAddr, subject: Subject, now: Instant) -> Option<u64> {
        if let Some(said) = self.said.get_mut(&(network, subject)) {
            return said.again(subject.lines, now);
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

impl Refusal {
    /// Whether it is worth a line, and if so, how many went without one.
    #[must_use]
    pub const fn unsaid(&self) -> Option<u64> {
        self.unsaid
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let section = self.section;
        match self.reason {
            Reason::Full(most) => {
                write!(
                    f,
                    "all {most} connections are taken ({section}.max_connections)"
                )
            }
            Reason::Network(network, held) => write!(
                f,
                "{network} holds {held} connections already \
                 ({section}.max_connections_per_address)"
            ),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; counts are right at every point.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.connections = state.connections.saturating_sub(1);
        if let Some(held) = state.networks.get_mut(&self.network) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                state.networks.remove(&self.network);
            }
        }
    }
}

/// What connections are counted by: an IPv4 address, or the /64 network of an
/// IPv6 one, which its host commands as a whole.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKEN: Subject = Subject::offence("broken");
    const PUBLISHES: Subject = Subject::new("publishes", 60);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let admission = Admission::new("rtmp", 3, 2);
        let now = Instant::now();
        let admit = |address| admission.admit(ip(address), now);
        let first = admit("10.0.0.1").unwrap();
        let second = admit("10.0.0.1").unwrap();
        let refusal = admit("10.0.0.1").unwrap_err().to_string();
        assert!(refusal.contains("10.0.0.1 holds 2"), "{refusal}");
        let third = admit("10.0.0.2").unwrap();
        let refusal = admit("10.0.0.3").unwrap_err().to_string();
        assert!(refusal.contains("rtmp.max_connections)"), "{refusal}");
        drop(third);
        let third = admit("10.0.0.2").unwrap();
        assert!(admit("10.0.0.3").is_err());
        drop((first, third));
        let again = admit("10.0.0.1").unwrap();
        drop((second, again));
        assert!(admission.inner.lock().networks.is_empty());
        assert_eq!(admission.inner.lock().connections, 0);
    }

    /// However often a peer comes and goes meanwhile.
    #[test]
    fn a_refusal_is_said_once_in_a_while() {
        for (most, most_per_address) in [(1, 9), (9, 1)] {
            let admission = Admission::new("rtmp", most, most_per_address);
            let start = Instant::now();
            for (seconds, want) in [(0, Some(0)), (1, None), (59, None), (60, Some(2))] {
                let now = start + Duration::from_secs(seconds);
                let _place = admission.admit(ip("10.0.0.1"), now).unwrap();
                let refusal = admission.admit(ip("10.0.0.1"), now).unwrap_err();
                assert_eq!(refusal.unsaid(), want, "{most} {seconds}");
            }
        }
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        for (address, want) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(network(ip(address)), ip(want));
        }
        let admission = Admission::new("rtmp", 10, 1);
        let now = Instant::now();
        let _place = admission.admit(ip("2001:db8::1"), now).unwrap();
        assert!(admission.admit(ip("2001:db8::2"), now).is_err());
        assert!(admission.admit(ip("2001:db8:0:1::1"), now).is_ok());
    }

    #[test]
    fn an_offender_is_named_once_in_a_while() {
        let admission = Admission::new("rtmp", 1, 1);
        let start = Instant::now();
        let tell =
            |seconds| admission.tell(ip("10.0.0.1"), BROKEN, start + Duration::from_secs(seconds));
        assert_eq!(tell(0), Some(0));
        for second in 1..60 {
            assert_eq!(tell(second), None);
        }
        assert_eq!(tell(61), Some(59));
        assert_eq!(tell(62), None);
        assert_eq!(
            admission.tell(ip("10.0.0.1"), Subject::offence("refused"), start),
            Some(0)
        );
        for offender in 0..3 * u32::try_from(MAX_SUBJECTS).unwrap() {
            let _ = admission.tell(IpAddr::from(offender.to_be_bytes()), BROKEN, start);
            assert!(admission.inner.lock().said.len() <= MAX_SUBJECTS);
        }
    }

    #[test]
    fn publishes_are_told_until_they_are_too_many() {
        let admission = Admission::new("rtmp", 1, 1);
        let now = Instant::now();
        for _ in 0..PUBLISHES.lines {
            assert_eq!(admission.tell(ip("10.0.0.1"), PUBLISHES, now), Some(0));
        }
        for _ in 0..1_000 {
            assert_eq!(admission.tell(ip("10.0.0.1"), PUBLISHES, now), None);
        }
        assert_eq!(admission.tell(ip("10.0.0.2"), PUBLISHES, now), Some(0));
        let later = now + PERIOD;
        assert_eq!(
            admission.tell(ip("10.0.0.1"), PUBLISHES, later),
            Some(1_000)
        );
    }
}
