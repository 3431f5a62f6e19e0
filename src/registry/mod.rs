//! Floor 4: the modules that users have uploaded. Bytes are checked, compiled in a process of their own, stored, and only
//! then listed. Versions are immutable. Who uses a module is not known here: callers ask before they delete.

mod cache;
mod catalog;
pub mod compile;
mod error;
mod jobs;
#[cfg(test)]
mod tests;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;

use self::cache::Cache;
use self::catalog::Catalog;
use self::compile::Compiler;
use self::jobs::Jobs;
use crate::model::ModuleName;
use crate::model::module::{Digest, ModuleKind, ModuleRef, ModuleVersion, Version};
use crate::runtime::clock::Clock;
use crate::runtime::events::{self, What};
use crate::runtime::tasks;
use crate::storage::tables::{module_bytes, modules};
use crate::storage::{Commit, CommitError, Storage};
use crate::wasm::{self, Component};

pub use error::{DeleteError, LoadError, OpenError, ResolveError, UploadError};
pub use jobs::{Job, JobId, JobState};
pub use upload::{Report, Uploaded};

/// How to open a registry.
pub struct Options {
    /// where compiled modules lie; may be emptied while the server is stopped
    pub cache_dir: PathBuf,
    /// this binary: its hidden subcommand `compile-module` is the compiler
    pub exe: PathBuf,
    /// CPU time that compiling one component may take, in whole seconds
    pub compile_cpu: Duration,
    /// for the times of uploads
    pub clock: Clock,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    storage: Storage,
    clock: Clock,
    catalog: RwLock<Catalog>,
    cache: Cache,
    compiler: Compiler,
    jobs: Jobs,
    /// Held while the set of versions changes on disk, so that bytes are not dropped while a version of them is published.
    changing: tokio::sync::Mutex<()>,
}

impl Registry {
    /// Reads the catalog and tidies the cache. Compiles nothing: a module without a compiled form is compiled when it is
    /// first asked for. Blocks.
    pub fn open(storage: Storage, engine: wasm::Engine, options: Options) -> Result<Self, OpenError> {
        let catalog = Catalog::of(modules::load_all(&storage)?);
        let cache = Cache::open(options.cache_dir, engine, |digest| catalog.uses(digest))?;
        Ok(Self(Arc::new(Inner {
            storage,
            clock: options.clock,
            catalog: RwLock::new(catalog),
            cache,
            compiler: Compiler::new(options.exe, options.compile_cpu),
            jobs: Jobs::default(),
            changing: tokio::sync::Mutex::default(),
        })))
    }

    /// Every version, by name and version.
    pub fn list(&self) -> Vec<Arc<ModuleVersion>> {
        self.0.catalog.read().list()
    }

    /// The version that a reference means now.
    pub fn resolve(&self, module: &ModuleRef) -> Result<Arc<ModuleVersion>, ResolveError> {
        self.0.catalog.read().resolve(module)
    }

    /// What the exports of a stored module make of it.
    pub fn kind(&self, digest: Digest) -> Option<ModuleKind> {
        self.0.catalog.read().by_digest(&digest).map(|version| version.kind)
    }

    /// Is this code called when timers are due?
    pub fn is_timed(&self, digest: Digest) -> bool {
        self.0.catalog.read().by_digest(&digest).is_some_and(|version| version.is_timed())
    }

    /// Does this code answer queries?
    pub fn is_queried(&self, digest: Digest) -> bool {
        self.0.catalog.read().by_digest(&digest).is_some_and(|version| version.is_queried())
    }

    /// The bytes as uploaded. Reads up to tens of megabytes on a reader thread.
    pub async fn bytes(&self, digest: Digest) -> Result<Bytes, LoadError> {
        let read = self.0.storage.on_reader(move |storage| module_bytes::load(storage, &digest)).await;
        read.and_then(|loaded| loaded)?.ok_or(LoadError::Unknown { digest })
    }

    /// The world as WIT text. Made from the bytes each time.
    pub async fn wit(&self, digest: Digest) -> Result<String, LoadError> {
        let bytes = self.bytes(digest).await?;
        let inspected =
            inspect(bytes, digest).await.map_err(|e| LoadError::Unusable { digest, cause: e.to_string() })?;
        Ok(inspected.wit)
    }

    /// The loaded code; kept in memory from the first call on. Waits for a compilation when the compiled form is gone,
    /// damaged, or of another engine or CPU; callers of one digest share it.
    pub async fn component(&self, digest: Digest) -> Result<Component, LoadError> {
        let version = self.0.catalog.read().by_digest(&digest);
        let version = version.ok_or(LoadError::Unknown { digest })?;
        let slot = self.0.cache.slot(digest);
        let component = slot.get_or_try_init(|| self.load_or_compile(&version)).await?;
        Ok(component.clone())
    }

    async fn load_or_compile(&self, version: &ModuleVersion) -> Result<Component, LoadError> {
        let digest = version.digest;
        match self.0.cache.load(digest, version.kind).await {
            Ok(component) => return Ok(component.with_params(version.params.as_ref())),
            Err(wasm::LoadError::Artifact(cause)) => {
                tracing::info!(%digest, %cause, "compiling a module again");
            }
            Err(e) => return Err(LoadError::Unusable { digest, cause: e.to_string() }),
        }
        let bytes = self.bytes(digest).await?;
        let unusable = |cause: UploadError| match cause {
            UploadError::Busy => LoadError::Busy { digest },
            cause => LoadError::Unusable { digest, cause: cause.to_string() },
        };
        let inspected = inspect(bytes, digest).await.map_err(unusable)?;
        self.compile(digest, &inspected).await.map_err(unusable)
    }

    /// Forgets one version, or all of them, and what no other version needs of their bytes. Answers what was forgotten.
    /// The caller has made sure that no deployment uses them.
    pub async fn delete(
        &self,
        name: &ModuleName,
        version: Option<Version>,
    ) -> Result<Vec<Arc<ModuleVersion>>, DeleteError> {
        let (registry, name) = (self.clone(), name.clone());
        to_its_end("delete a module", async move { registry.delete_whole(&name, version).await }).await
    }

    async fn delete_whole(
        &self,
        name: &ModuleName,
        version: Option<Version>,
    ) -> Result<Vec<Arc<ModuleVersion>>, DeleteError> {
        let _changing = self.0.changing.lock().await;
        let gone = self.0.catalog.read().matching(name, version.as_ref())?;

        let mut after = self.0.catalog.read().clone();
        let mut commit = Commit::new();
        for version in &gone {
            after.remove(version);
            modules::delete(&mut commit, &version.name, &version.version);
        }
        let unused: Vec<_> = gone.iter().map(|v| v.digest).filter(|digest| !after.uses(digest)).collect();
        for digest in &unused {
            module_bytes::delete(&mut commit, digest);
        }
        self.0.storage.commit(commit).await?;

        *self.0.catalog.write() = after;
        gone.iter().for_each(|version| told(What::ModuleDeleted, version));
        for digest in unused {
            self.0.cache.forget(&digest);
        }
        Ok(gone)
    }
}

/// Tells who listens.
fn told(what: What, version: &ModuleVersion) {
    let details = vec![("version", version.version.to_string()), ("digest", version.digest.to_string())];
    events::publish(what, &version.name, details);
}

/// Runs a change to its end, also when whoever asked for it has gone: half a change would leave the catalog and the
/// storage of two minds.
async fn to_its_end<T, E>(
    name: &'static str,
    change: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<CommitError> + Send + 'static,
{
    // Only a panic or the end of the runtime breaks the task off.
    tasks::spawn(name, change).await.unwrap_or_else(|_| Err(CommitError::Closed.into()))
}

/// Inspects on a blocking thread. A panic of a parser on hostile bytes is a refusal, not ours; lines of the log about it name
/// the module.
async fn inspect(bytes: Bytes, module: impl ToString) -> Result<wasm::Inspected, UploadError> {
    let span = tracing::error_span!("inspect", module = module.to_string());
    let look = move || span.in_scope(|| wasm::inspect(&bytes));
    let inspected = tasks::spawn_blocking("inspect-module", look).await;
    match inspected {
        Ok(inspected) => Ok(inspected?),
        Err(_) => Err(wasm::Invalid::Malformed("it cannot be parsed".to_owned()).into()),
    }
}
