//! Parameter sets of one kind, as H.264 and HEVC have them: NAL units, each with an id
//! under which another one takes its place.

use bytes::Bytes;

/// Parameter sets of one kind, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct ParameterSets {
    units: Vec<Bytes>,
    /// Of each unit; `None` if it says none. Kept, so that none is read twice.
    ids: Vec<Option<u32>>,
}

impl ParameterSets {
    /// The NAL units.
    pub(super) fn units(&self) -> &[Bytes] {
        &self.units
    }

    /// Whether one of them is `unit`.
    pub(super) fn contains(&self, unit: &[u8]) -> bool {
        self.units.iter().any(|set| set == unit)
    }

    /// Puts one behind the others, whatever its id.
    pub(super) fn push(&mut self, id: Option<u32>, unit: Bytes) {
        self.units.push(unit);
        self.ids.push(id);
    }

    /// Puts one in the place of that with its id, or behind the others. False if there
    /// would be more than `limit`.
    pub(super) fn put(&mut self, id: u32, unit: Bytes, limit: usize) -> bool {
        let at = self.ids.iter().position(|known| *known == Some(id));
        if let Some(known) = at.and_then(|at| self.units.get_mut(at)) {
            *known = unit;
        } else if self.units.len() < limit {
            self.push(Some(id), unit);
        } else {
            return false;
        }
        true
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Equal units have equal ids.
impl PartialEq for ParameterSets {
    fn eq(&self, other: &Self) -> bool {
        self.units == other.units
    }
}

impl Eq for ParameterSets {}

/// What one access unit may bring of other parameter sets than are known. Whoever sends
/// more replaces those of the same access unit, which costs work and says nothing.
#[derive(Debug)]
pub(super) struct Allowance(usize);

impl Allowance {
    /// For sets that may take so many bytes together.
    pub(super) const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Takes a unit and its length from it; false if it is used up.
    pub(super) fn take(&mut self, unit: &[u8]) -> bool {
        match self.0.checked_sub(unit.len() + 2) {
            Some(left) => {
                self.0 = left;
                true
            }
            None => false,
        }
    }
}
