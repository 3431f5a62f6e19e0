//! Floor 5: topics in use. Creates and alters them, produces into them through their inline transforms, reads from them.
//! Knows nothing of HTTP statuses or Kafka error codes: the doors translate its errors.

pub mod admission;
pub mod append;
mod attachments;
pub mod catalog;
pub mod consumer;
pub mod dead_letter;
pub mod error;
pub mod fetch;
pub mod idempotency;
pub mod inline;
mod lane;
pub mod outbox;
pub mod output;
pub mod produce;
mod producers;
pub mod read;
pub mod runtime_config;
mod switch;
mod topic_change;
pub mod transactions;
mod truncate;
pub mod view;
pub(crate) mod voice;

#[cfg(test)]
mod tests;

use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::groups::Groups;
use crate::model::limits::{APPLIED_INSTANCES_MAX, WATCHED_PARTITIONS_MAX};
use crate::runtime::clock::Clock;
use crate::runtime::guests::GuestHandle;
use crate::storage::Storage;

pub use append::{AppendEntry, AppendError, AppendReply, AppendRequest, Appended, TransactionOf};
pub use catalog::TopicHandle;
pub use error::{ProduceError, ReadError, TopicError};
pub use fetch::{Isolation, OffsetFound, OffsetQuery, WaitPoint};
pub use produce::{
    IdempotencyKey, NewRecord, ProduceReply, ProduceRequest, Produced, RecordFate, Records, Stamped, Tally,
};
pub use producers::ProducerView;
pub use read::{Cursor, OffsetSpec, Page, ReadLimits};
pub use runtime_config::RuntimeConfigError;
pub use topic_change::{NewTopic, TopicChange};
pub use transactions::{Initialize, ProducerDetail, TransactionError, TransactionView};
pub use truncate::{TruncateError, Truncation};

/// Handle of the broker; cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    storage: Storage,
    groups: Groups,
    clock: Clock,
    guests: GuestHandle,
    catalog: catalog::Catalog,
    line_up: lane::LineUp,
    runtime_config: runtime_config::RuntimeConfig,
    admission: admission::Admission,
    idempotency: idempotency::Idempotency,
    producers: producers::Producers,
    transactions: transactions::Transactions,
    consumers: consumer::Consumers,
    /// batches that are checked beside the network's threads at the same time
    heavy: Arc<Semaphore>,
    /// the same for those that are suspiciously large inside: up to 128 MiB, so one at a time
    bombs: Arc<Semaphore>,
    /// partitions that may be watched for records at the same time
    watchers: Semaphore,
    views: view::Views,
    /// instances of transforms that are named in reads
    applied: Arc<Semaphore>,
}

impl Broker {
    /// Takes the topics of an opened storage into use.
    ///
    /// # Errors
    /// When the rows of idempotency keys, settings, producers or transactions cannot be read.
    pub fn open(
        storage: Storage,
        groups: Groups,
        guests: GuestHandle,
        clock: Clock,
    ) -> Result<Self, crate::storage::ReadError> {
        let idempotency = idempotency::Idempotency::load(&storage, &clock, storage.admission_bytes() / 2)?;
        let runtime_config = runtime_config::RuntimeConfig::load(&storage)?;
        let catalog = catalog::Catalog::open(&storage, clock.clone(), runtime_config.topic_defaults());
        let logs = catalog.logs();
        let producers = producers::Producers::load(&storage, &logs)?;
        let transactions = transactions::Transactions::load(&storage, logs.values(), clock.now_ms())?;
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let broker = Self(Arc::new(Inner {
            catalog,
            line_up: lane::LineUp::default(),
            runtime_config,
            admission: admission::Admission::new(storage.admission_bytes()),
            idempotency,
            producers,
            transactions,
            consumers: consumer::Consumers::default(),
            heavy: Arc::new(Semaphore::new(cores)),
            bombs: Arc::new(Semaphore::new(1)),
            watchers: Semaphore::new(WATCHED_PARTITIONS_MAX),
            views: view::Views::default(),
            applied: Arc::new(Semaphore::new(APPLIED_INSTANCES_MAX)),
            storage,
            groups,
            clock,
            guests,
        }));
        broker.groups().subscribe_to(Arc::new(broker.subscribable()));
        Ok(broker)
    }

    /// The storage below.
    pub fn storage(&self) -> &Storage {
        &self.0.storage
    }

    /// The groups that read the topics.
    pub fn groups(&self) -> &Groups {
        &self.0.groups
    }

    /// The clock that stamps records.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Where guests run.
    pub fn guests(&self) -> &GuestHandle {
        &self.0.guests
    }

    /// Forgets idempotency keys older than 24 hours. To be called now and then.
    ///
    /// # Errors
    /// When the commit that deletes their rows is refused; they are tried again next time.
    pub async fn expire_idempotency_keys(&self) -> Result<usize, crate::storage::CommitError> {
        let mut commit = crate::storage::Commit::new();
        let expired = self.0.idempotency.expired(&mut commit);
        if !expired.is_empty() {
            self.0.storage.commit(commit).await?;
            self.0.idempotency.forget(&expired);
        }
        Ok(expired.len())
    }

    /// Bytes of produce requests under way, and their bound.
    pub fn admission(&self) -> &admission::Admission {
        &self.0.admission
    }
}
