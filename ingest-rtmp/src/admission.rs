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
    /// Whether it was said that all places are taken.
    full_said: bool,
    addresses: HashMap<IpAddr, Address>,
    /// When an address was last complained about, and how often since.
    complaints: HashMap<(IpAddr, Offence), Complaint>,
}

#[derive(Debug, Default)]
struct Address {
    connections: usize,
    refusal_said: bool,
}

#[derive(Debug)]
struct Complaint {
    at: Instant,
    since: u64,
}

/// What an address is complained about; each is said by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Offence {
    /// It asks for what it cannot have.
    Refused,
    /// It breaks a rule of the protocol, or a bound.
    Broken,
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
    /// Whether it is the first for this reason: later ones are not worth a line.
    pub(crate) first: bool,
}

/// An offender is named once in this time; what it does meanwhile is counted.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);

/// Offenders remembered at once. Beyond it the oldest are forgotten, and each
/// may cost a line again.
const MAX_OFFENDERS: usize = 4_096;

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
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Slot, Refusal> {
        let network = network(address);
        let mut state = self.inner.lock();
        let state = &mut *state;
        if state.connections >= self.inner.most {
            let first = !std::mem::replace(&mut state.full_said, true);
            let reason = format!(
                "all {} connections are taken (rtmp.max_connections)",
                self.inner.most
            );
            return Err(Refusal { reason, first });
        }
        let held = state.addresses.entry(network).or_default();
        if held.connections >= self.inner.most_per_address {
            let first = !std::mem::replace(&mut held.refusal_said, true);
            let reason = format!(
                "{network} holds {} connections already (rtmp.max_connections_per_address)",
                held.connections
            );
            return Err(Refusal { reason, first });
        }
        held.connections += 1;
        state.connections += 1;
        Ok(Slot {
            inner: Arc::clone(&self.inner),
            network,
        })
    }

    /// Whether an offence of `address` is worth a line in the log, and if so,
    /// how many went unsaid since the line before.
    pub(crate) fn complain(&self, address: IpAddr, offence: Offence, now: Instant) -> Option<u64> {
        let subject = (network(address), offence);
        let mut state = self.inner.lock();
        if let Some(complaint) = state.complaints.get_mut(&subject) {
            if now.saturating_duration_since(complaint.at) < COMPLAINT_PERIOD {
                complaint.since += 1;
                return None;
            }
            complaint.at = now;
            return Some(std::mem::take(&mut complaint.since));
        }
        if state.complaints.len() >= MAX_OFFENDERS {
            let fresh = |at: Instant| now.saturating_duration_since(at) < COMPLAINT_PERIOD;
            state.complaints.retain(|_, complaint| fresh(complaint.at));
            if state.complaints.len() >= MAX_OFFENDERS {
                state.complaints.clear();
            }
        }
        state
            .complaints
            .insert(subject, Complaint { at: now, since: 0 });
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
        // Not at the first free place, or one peer that comes and goes would
        // cost a line each time.
        if state.connections <= self.inner.most / 2 {
            state.full_said = false;
        }
        if let Some(held) = state.addresses.get_mut(&self.network) {
            held.connections = held.connections.saturating_sub(1);
            if held.connections == 0 {
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
        let first = admission.admit(ip("10.0.0.1")).unwrap();
        let second = admission.admit(ip("10.0.0.1")).unwrap();
        for said in [true, false, false] {
            assert_eq!(admission.admit(ip("10.0.0.1")).unwrap_err().first, said);
        }
        let third = admission.admit(ip("10.0.0.2")).unwrap();
        for said in [true, false] {
            let refusal = admission.admit(ip("10.0.0.3")).unwrap_err();
            assert_eq!(refusal.first, said);
            assert!(
                refusal.reason.contains("rtmp.max_connections)"),
                "{}",
                refusal.reason
            );
        }
        drop(third);
        let third = admission.admit(ip("10.0.0.2")).unwrap();
        assert!(
            !admission.admit(ip("10.0.0.3")).unwrap_err().first,
            "as full as before"
        );
        drop((first, third));
        let again = admission.admit(ip("10.0.0.1")).unwrap();
        drop((second, again));
        assert!(admission.inner.lock().addresses.is_empty());
        assert_eq!(admission.inner.lock().connections, 0);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let admission = Admission::new(10, 1);
        let _slot = admission.admit(ip("2001:db8::1")).unwrap();
        assert!(admission.admit(ip("2001:db8::2")).is_err());
        assert!(admission.admit(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn an_offender_is_named_once_in_a_while() {
        let admission = Admission::new(1, 1);
        let start = Instant::now();
        let complain = |seconds| {
            admission.complain(
                ip("10.0.0.1"),
                Offence::Broken,
                start + Duration::from_secs(seconds),
            )
        };
        assert_eq!(complain(0), Some(0));
        for second in 1..60 {
            assert_eq!(complain(second), None);
        }
        assert_eq!(complain(61), Some(59));
        assert_eq!(complain(62), None);
        assert_eq!(
            admission.complain(ip("10.0.0.1"), Offence::Refused, start),
            Some(0)
        );
        for offender in 0..3 * u32::try_from(MAX_OFFENDERS).unwrap() {
            admission.complain(IpAddr::from(offender.to_be_bytes()), Offence::Broken, start);
            assert!(admission.inner.lock().complaints.len() <= MAX_OFFENDERS);
        }
    }
}
