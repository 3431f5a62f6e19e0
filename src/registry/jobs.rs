//! Uploads that run by themselves, for clients that ask for the result later. The table is bounded: the oldest finished
//! job makes room.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::Registry;
use super::error::UploadError;
use super::upload::Uploaded;
use crate::model::ModuleName;
use crate::model::module::Version;
use crate::runtime::tasks;

/// Jobs that are remembered.
const JOBS_MAX: usize = 256;
/// Jobs that run or wait; each holds its module's bytes.
const UNFINISHED_MAX: usize = 16;

/// Names a job until the server is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An upload in the background.
#[derive(Debug, Clone)]
pub struct Job {
    /// its name
    pub id: JobId,
    /// the module
    pub module: ModuleName,
    /// milliseconds since the epoch
    pub started_ms: i64,
    /// how far it is
    pub state: JobState,
}

/// How far a job is.
#[derive(Debug, Clone)]
pub enum JobState {
    /// validating, waiting for the compiler, compiling or storing
    Running,
    /// stored
    Done {
        /// the result
        uploaded: Uploaded,
        /// milliseconds since the epoch
        finished_ms: i64,
    },
    /// refused
    Failed {
        /// why
        error: Arc<UploadError>,
        /// milliseconds since the epoch
        finished_ms: i64,
    },
}

#[derive(Default)]
pub(super) struct Jobs(Mutex<Table>);

#[derive(Default)]
struct Table {
    next: u64,
    jobs: BTreeMap<JobId, Job>,
}

impl Table {
    fn start(&mut self, module: ModuleName, started_ms: i64) -> Option<JobId> {
        let is_running = |job: &Job| matches!(job.state, JobState::Running);
        if self.jobs.values().filter(|job| is_running(job)).count() >= UNFINISHED_MAX {
            return None;
        }
        if self.jobs.len() >= JOBS_MAX {
            let oldest = self.jobs.values().find(|job| !is_running(job)).map(|job| job.id);
            self.jobs.remove(&oldest?);
        }
        self.next += 1;
        let id = JobId(self.next);
        self.jobs.insert(id, Job { id, module, started_ms, state: JobState::Running });
        Some(id)
    }
}

impl Registry {
    /// Starts an upload and answers at once. `held` is dropped when it has ended: what keeps room for its bytes.
    ///
    /// # Errors
    ///
    /// [`UploadError::Busy`] when too many run already.
    pub fn start_upload(
        &self,
        name: ModuleName,
        version: Option<Version>,
        bytes: Bytes,
        held: impl Send + 'static,
    ) -> Result<JobId, UploadError> {
        let started = self.0.jobs.0.lock().start(name.clone(), self.0.clock.now_ms());
        let id = started.ok_or(UploadError::Busy)?;
        let registry = self.clone();
        // Its owner is the table: the task ends with the upload, which is bounded by the compiler's time.
        tasks::spawn("module-upload", async move {
            let result = registry.upload(&name, version, bytes).await;
            drop(held);
            let finished_ms = registry.0.clock.now_ms();
            let state = match result {
                Ok(uploaded) => JobState::Done { uploaded, finished_ms },
                Err(error) => JobState::Failed { error: Arc::new(error), finished_ms },
            };
            if let Some(job) = registry.0.jobs.0.lock().jobs.get_mut(&id) {
                job.state = state;
            }
        });
        Ok(id)
    }

    /// A job, unless it is too old to be remembered.
    pub fn job(&self, id: JobId) -> Option<Job> {
        self.0.jobs.0.lock().jobs.get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_bounded_and_keeps_what_runs() {
        let mut table = Table::default();
        let module = ModuleName::parse("m").unwrap();
        let running = table.start(module.clone(), 0).unwrap();
        for _ in 0..2 * JOBS_MAX {
            let id = table.start(module.clone(), 0).unwrap();
            table.jobs.get_mut(&id).unwrap().state =
                JobState::Failed { error: Arc::new(UploadError::Busy), finished_ms: 0 };
        }
        assert_eq!(table.jobs.len(), JOBS_MAX);
        assert!(table.jobs.contains_key(&running));
        for _ in 1..UNFINISHED_MAX {
            table.start(module.clone(), 0).unwrap();
        }
        assert_eq!(table.start(module, 0), None);
    }
}
