//! The task state of one moment, for as long as a handle to it lives. It keeps old rows on disk: whoever pins the state
//! bounds how many do so, and for how long.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use self_cell::self_cell;

use super::view::{KeyRange, StateReader, StateView};
use super::{ReadError, Storage};

self_cell!(
    /// A snapshot, which borrows from the database, and what keeps that open.
    struct Moment {
        owner: StateReader,
        #[not_covariant]
        dependent: StateView,
    }
);

/// Handle of a pinned state; cheap to clone. The last one lets go of the moment.
#[derive(Clone)]
pub struct PinnedState(Arc<Moment>);

impl Storage {
    /// Holds the state of this moment.
    pub fn pin_state(&self) -> PinnedState {
        PinnedState(Arc::new(Moment::new(self.state(), StateReader::view)))
    }
}

impl PinnedState {
    /// The value of a key. Blocking.
    pub fn value(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.0.with_dependent(|_, view| view.value(key))
    }

    /// The values of keys, one for each in their order, read together. Blocking.
    pub fn values<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Vec<u8>>,
    ) -> Result<Vec<Option<Bytes>>, ReadError> {
        self.0.with_dependent(|_, view| view.values(keys))
    }

    /// Visits keys and values of a range until the visitor breaks. Blocking.
    pub fn scan(
        &self,
        range: &KeyRange,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.0.with_dependent(|_, view| view.scan(range, visit))
    }
}

impl std::fmt::Debug for PinnedState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PinnedState")
    }
}
