//! `Idempotency-Key`: a request's key, the digest of its body and its answer are part of its commit, so that a repeated
//! request gets the first one's answer, also after a crash. A live key is never evicted before its 24 hours.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{IdempotencyKey, ProduceError, ProduceReply};
use crate::model::limits::{IDEMPOTENCY_KEPT, IDEMPOTENCY_KEYS_MAX};
use crate::model::module::Digest;
use crate::runtime::clock::Clock;
use crate::storage::{Commit, Placed, ReadError, Storage, tables};

/// A remembered request, as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    body: Digest,
    reply: ProduceReply,
    stored_ms: i64,
}

enum Entry {
    InFlight,
    Done(Arc<Remembered>),
}

/// The keys of the last 24 hours.
pub(super) struct Idempotency {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
}

/// What is known of a key.
pub(super) enum Begin {
    /// it was answered
    Known(ProduceReply),
    /// it is new; the slot is given back when dropped before it is remembered
    New(Slot),
}

/// A key in flight. Dropped after its commit has ended: the key is then known if the commit was made, else free again.
pub(super) struct Slot {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
    key: IdempotencyKey,
    made: Arc<OnceLock<Arc<Remembered>>>,
}

/// Gives the answer once the commit is made.
pub(super) struct Answer(Arc<OnceLock<Arc<Remembered>>>);

impl Idempotency {
    pub(super) fn load(storage: &Storage, clock: &Clock) -> Result<Self, ReadError> {
        let oldest = clock.now_ms() - kept_ms();
        let mut entries = HashMap::new();
        for (key, value) in tables::idempotency::load_all(storage)? {
            let (Ok(key), Ok(row)) = (String::from_utf8(key), serde_json::from_slice::<Remembered>(&value))
            else {
                continue;
            };
            if row.stored_ms > oldest {
                entries.insert(key, Entry::Done(Arc::new(row)));
            }
        }
        Ok(Self { entries: Arc::new(Mutex::new(entries)) })
    }

    /// Reserves the key, or tells what became of it.
    ///
    /// # Errors
    /// `IdempotencyInFlight`, `IdempotencyMismatch`, `IdempotencyFull`.
    pub(super) fn begin(&self, key: &IdempotencyKey) -> Result<Begin, ProduceError> {
        let mut entries = self.entries.lock();
        match entries.get(&key.key) {
            Some(Entry::InFlight) => return Err(ProduceError::IdempotencyInFlight),
            Some(Entry::Done(row)) if row.body != key.body => return Err(ProduceError::IdempotencyMismatch),
            Some(Entry::Done(row)) => return Ok(Begin::Known(row.reply.clone())),
            None => {}
        }
        if entries.len() >= IDEMPOTENCY_KEYS_MAX {
            return Err(ProduceError::IdempotencyFull { limit: IDEMPOTENCY_KEYS_MAX });
        }
        entries.insert(key.key.clone(), Entry::InFlight);
        Ok(Begin::New(Slot { entries: self.entries.clone(), key: key.clone(), made: Arc::default() }))
    }

    /// Forgets keys older than 24 hours; their rows are deleted by the commit, if there are any.
    pub(super) fn expire(&self, now_ms: i64, commit: &mut Commit) -> usize {
        let oldest = now_ms - kept_ms();
        let mut entries = self.entries.lock();
        let mut expired = 0;
        entries.retain(|key, entry| {
            let live = !matches!(entry, Entry::Done(row) if row.stored_ms <= oldest);
            if !live {
                tables::idempotency::delete(commit, key.as_bytes());
                expired += 1;
            }
            live
        });
        expired
    }
}

fn kept_ms() -> i64 {
    i64::try_from(IDEMPOTENCY_KEPT.as_millis()).unwrap_or(i64::MAX)
}

impl Slot {
    /// Puts key and answer into the commit. The answer is made from the offsets that the writer gives.
    pub(super) fn remember(
        self,
        commit: &mut Commit,
        now_ms: i64,
        reply: impl FnOnce(&[Placed]) -> ProduceReply + Send + 'static,
    ) -> Answer {
        let (body, made) = (self.key.body, self.made.clone());
        tables::idempotency::put(commit, self.key.key.clone().into_bytes(), move |placed| {
            let row = Remembered { body, reply: reply(placed), stored_ms: now_ms };
            let bytes = serde_json::to_vec(&row).unwrap_or_default();
            let _ = made.set(Arc::new(row));
            bytes
        });
        let answer = Answer(self.made.clone());
        // A request that its client abandons stays in flight until the fate of its commit is known.
        commit.hold(self);
        answer
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut entries = self.entries.lock();
        match self.made.get() {
            Some(row) => entries.insert(self.key.key.clone(), Entry::Done(row.clone())),
            None => entries.remove(&self.key.key),
        };
    }
}

impl Answer {
    /// The answer; only after the commit's receipt.
    pub(super) fn finish(self) -> Option<ProduceReply> {
        self.0.get().map(|row| row.reply.clone())
    }
}
