//! The task state of one moment, for as long as a handle to it lives. RocksDB's snapshots borrow from the database, so a
//! thread of its own holds this one and looks up what the handles ask for. It keeps old rows on disk: whoever pins the
//! state bounds how many do so, and for how long.

use std::ops::ControlFlow;
use std::sync::mpsc::{SyncSender, sync_channel};

use bytes::Bytes;

use super::view::{KeyRange, StateView};
use super::{ReadError, Storage};
use crate::runtime::tasks;

/// Questions that wait; who finds no room waits too.
const QUEUE_ASKS: usize = 16;

type Ask = Box<dyn FnOnce(&StateView<'_>) + Send>;

/// Handle of a pinned state; cheap to clone. The last one lets go of the moment.
#[derive(Clone, Debug)]
pub struct PinnedState {
    asks: SyncSender<Ask>,
}

impl Storage {
    /// Holds the state of this moment. Blocks for the start of a thread.
    ///
    /// # Errors
    /// `Engine` when there is no thread to be had, `Closed`.
    pub fn pin_state(&self) -> Result<PinnedState, ReadError> {
        let (asks, queue) = sync_channel::<Ask>(QUEUE_ASKS);
        let (ready, pinned) = sync_channel(1);
        let reader = self.state();
        let work = move || {
            let view = reader.view();
            let _ = ready.send(());
            while let Ok(ask) = queue.recv() {
                ask(&view);
            }
        };
        tasks::thread("pinned-state", work).map_err(|e| ReadError::Engine(e.to_string()))?;
        pinned.recv().map_err(|_| ReadError::Closed)?;
        Ok(PinnedState { asks })
    }
}

impl PinnedState {
    /// The value of a key. Blocking.
    pub fn value(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let key = key.to_vec();
        self.ask(move |view| view.value(&key))?
    }

    /// The first rows of a range in its direction: at most `rows_max`, and about `bytes_max` bytes, one at least. Whoever
    /// wants more asks again with the rest of the range. Blocking.
    pub fn rows(
        &self,
        range: &KeyRange,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        let range = range.clone();
        self.ask(move |view| {
            let mut rows = Vec::new();
            let mut bytes = 0;
            view.scan(&range, |key, value| {
                bytes += key.len() + value.len();
                rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
                if rows.len() < rows_max && bytes < bytes_max {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            Ok(rows)
        })?
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&StateView<'_>) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let (answer, result) = sync_channel(1);
        let ask: Ask = Box::new(move |view| drop(answer.send(work(view))));
        self.asks.send(ask).map_err(|_| ReadError::Closed)?;
        result.recv().map_err(|_| ReadError::Closed)
    }
}
