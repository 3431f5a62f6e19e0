//! An upload: validate, compile, store, publish. It can be given up until it is stored; from there on it goes to its end.

use std::sync::Arc;

use bytes::Bytes;

use super::catalog::Place;
use super::error::UploadError;
use super::{Registry, inspect, to_its_end};
use crate::model::ModuleName;
use crate::model::limits::{MODULE_BYTES_MAX, MODULE_VERSIONS_MAX};
use crate::model::module::{Digest, ModuleVersion, Version};
use crate::runtime::events::What;
use crate::runtime::tasks;
use crate::storage::Commit;
use crate::storage::tables::{module_bytes, modules};
use crate::telemetry::metric_names;
use crate::wasm::{Component, Inspected};

/// A stored module version.
#[derive(Debug, Clone)]
pub struct Uploaded {
    /// as listed
    pub version: Arc<ModuleVersion>,
    /// false: these bytes were there already
    pub created: bool,
}

/// What a validation found; nothing was compiled or stored.
#[derive(Debug, Clone)]
pub struct Report {
    /// of the bytes as uploaded
    pub digest: Digest,
    /// bytes as uploaded
    pub size: u64,
    /// kind, imports, exports, tools, WIT
    pub inspected: Inspected,
}

impl Registry {
    /// Stores a module version. Without a version, bytes that are there already keep theirs, others get the next patch.
    /// Waits for the compilation: milliseconds for Rust, half a minute for Python, and longer behind others.
    pub async fn upload(
        &self,
        name: &ModuleName,
        version: Option<Version>,
        bytes: Bytes,
    ) -> Result<Uploaded, UploadError> {
        let digest = digest(&bytes).await?;
        if let Some(done) = placed(self.place(name, version.as_ref(), &digest))? {
            return Ok(done);
        }
        self.check_room()?;
        let inspected = inspect(bytes.clone(), name).await?;
        let component = self.compile(digest, &inspected).await?;
        let (registry, name) = (self.clone(), name.clone());
        to_its_end("publish a module", async move {
            registry.publish(&name, version, &bytes, digest, inspected, &component).await
        })
        .await
    }

    /// Looks at a module without compiling or storing it. Function bodies are validated only by an upload.
    pub async fn validate(&self, bytes: Bytes) -> Result<Report, UploadError> {
        let digest = digest(&bytes).await?;
        let size = bytes.len() as u64;
        Ok(Report { digest, size, inspected: inspect(bytes, digest).await? })
    }

    fn place(&self, name: &ModuleName, version: Option<&Version>, digest: &Digest) -> Place {
        self.0.catalog.read().place(name, version, digest)
    }

    fn check_room(&self) -> Result<(), UploadError> {
        if self.0.catalog.read().len() < MODULE_VERSIONS_MAX {
            return Ok(());
        }
        Err(UploadError::TooMany { limit: MODULE_VERSIONS_MAX })
    }

    /// Loads the compiled form, making it first when there is none that can be used.
    pub(super) async fn compile(
        &self,
        digest: Digest,
        inspected: &Inspected,
    ) -> Result<Component, UploadError> {
        let cache = &self.0.cache;
        let ready = |component: Component| component.with_params(inspected.params.as_ref());
        if let Ok(component) = cache.load(digest, inspected.kind).await {
            return Ok(ready(component));
        }
        self.0.compiler.compile(&inspected.component, &cache.path(&digest)).await?;
        let component = cache.load(digest, inspected.kind).await?;
        let stamp = component.stamp();
        metrics::histogram!(metric_names::WASM_COMPILE_SECONDS).record(stamp.compile_cpu.as_secs_f64());
        tracing::info!(%digest, cpu_ms = stamp.compile_cpu.as_millis(), bytes = stamp.size, "compiled a module");
        Ok(ready(component))
    }

    async fn publish(
        &self,
        name: &ModuleName,
        version: Option<Version>,
        bytes: &Bytes,
        digest: Digest,
        inspected: Inspected,
        component: &Component,
    ) -> Result<Uploaded, UploadError> {
        let _changing = self.0.changing.lock().await;
        // Someone may have been faster.
        let place = self.place(name, version.as_ref(), &digest);
        let Place::New(version) = place else {
            return placed(place)?.ok_or(UploadError::Busy);
        };
        self.check_room()?;
        let stored = self.0.catalog.read().uses(&digest);
        if !stored {
            for (index, piece) in module_bytes::pieces(bytes) {
                let mut commit = Commit::new();
                module_bytes::put(&mut commit, &digest, index, piece);
                self.0.storage.commit(commit).await?;
            }
        }

        let stamp = component.stamp();
        let version = Arc::new(ModuleVersion {
            name: name.clone(),
            version,
            digest,
            kind: inspected.kind,
            size: bytes.len() as u64,
            imports: inspected.imports,
            exports: inspected.exports,
            producers: inspected.producers,
            params: inspected.params,
            compile_ms: u64::try_from(stamp.compile_cpu.as_millis()).unwrap_or(u64::MAX),
            compiled_size: stamp.size,
            created_ms: self.0.clock.now_ms(),
        });
        let mut commit = Commit::new();
        modules::put(&mut commit, &version);
        self.0.storage.commit(commit).await?;

        self.0.catalog.write().insert(version.clone());
        super::told(What::ModulePushed, &version);
        // The first deployment need not load it again.
        let _ = self.0.cache.slot(digest).set(component.clone());
        Ok(Uploaded { version, created: true })
    }
}

/// An upload that is over before it begins: `None` if it has to go on.
fn placed(place: Place) -> Result<Option<Uploaded>, UploadError> {
    match place {
        Place::New(_) => Ok(None),
        Place::Same(version) => Ok(Some(Uploaded { version, created: false })),
        Place::Taken(there) => {
            Err(UploadError::VersionExists { version: there.version.clone(), digest: there.digest })
        }
    }
}

/// A third of a second for 64 MiB, so not on a network thread.
async fn digest(bytes: &Bytes) -> Result<Digest, UploadError> {
    if bytes.len() > MODULE_BYTES_MAX {
        return Err(UploadError::TooLarge { found: bytes.len(), limit: MODULE_BYTES_MAX });
    }
    let bytes = bytes.clone();
    tasks::spawn_blocking("digest-module", move || Digest::of(&bytes)).await.map_err(|_| UploadError::Busy)
}
