//! Typed slots: where other crates keep what they have per stream or per
//! registry, so that the core need not know of it.

use std::any::{Any, TypeId, type_name};
use std::fmt;

use crate::sync::{Arc, Mutex, OnceLock};

type Value = Arc<dyn Any + Send + Sync>;
type Cell = Arc<OnceLock<Value>>;

/// One value per type. There are few, so a list is searched.
#[derive(Default)]
pub(crate) struct Slots(Mutex<Vec<(TypeId, Cell)>>);

impl Slots {
    /// The value of type `T`, made by `init` at the first call. Others that
    /// come meanwhile wait for it.
    pub(crate) fn get_or_init<T, F>(&self, init: F) -> Arc<T>
    where
        T: Any + Send + Sync,
        F: FnOnce() -> T,
    {
        let cell = self.cell(TypeId::of::<T>());
        // Not under the lock: `init` may ask for slots of other types.
        let mut made = None;
        let value = cell.get_or_init(|| {
            let value = Arc::new(init());
            made = Some(Arc::clone(&value));
            value
        });
        match (made, Arc::clone(value).downcast::<T>()) {
            (Some(value), _) | (None, Ok(value)) => value,
            #[expect(
                clippy::unreachable,
                reason = "the list is keyed by the type of the value"
            )]
            (None, Err(_)) => unreachable!("a slot of another type than {}", type_name::<T>()),
        }
    }

    /// The value of type `T`, if it was made.
    pub(crate) fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let value = Arc::clone(self.cell(TypeId::of::<T>()).get()?);
        value.downcast::<T>().ok()
    }

    fn cell(&self, id: TypeId) -> Cell {
        let mut cells = self.0.lock();
        match cells.iter().find(|(other, _)| *other == id) {
            Some((_, cell)) => Arc::clone(cell),
            None => {
                let cell = Cell::default();
                cells.push((id, Arc::clone(&cell)));
                cell
            }
        }
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("len", &self.0.lock().len())
            .finish()
    }
}
