//! Compiled modules: files in the cache directory, and the components loaded from them. The directory is private to the
//! server's user, for what lies in it is run.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::error::OpenError;
use crate::model::module::{Digest, ModuleKind};
use crate::runtime::tasks;
use crate::wasm::{self, Component, artifact};

/// A loaded component, or the place where the first who wants it loads it.
pub(super) type Slot = Arc<OnceCell<Component>>;

pub(super) struct Cache {
    dir: PathBuf,
    engine: wasm::Engine,
    loaded: Mutex<HashMap<Digest, Slot>>,
}

impl Cache {
    /// Opens the directory and drops from it what is not wanted: leftovers, other engines' files, deleted modules'.
    pub(super) fn open(
        dir: PathBuf,
        engine: wasm::Engine,
        wanted: impl Fn(&Digest) -> bool,
    ) -> Result<Self, OpenError> {
        let cache = Self { dir, engine, loaded: Mutex::default() };
        let opened = cache.make_private().and_then(|()| cache.sweep(wanted));
        opened.map_err(|cause| OpenError::Directory { path: cache.dir.clone(), cause })?;
        Ok(cache)
    }

    fn make_private(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o700))
    }

    fn sweep(&self, wanted: impl Fn(&Digest) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let digest = name.get(..64).and_then(|hex| Digest::parse(&format!("sha256:{hex}")));
            let keep = digest.is_some_and(|d| wanted(&d) && name == artifact::file_name(&self.engine, &d));
            if !keep && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(artifact::file_name(&self.engine, digest))
    }

    pub(super) fn slot(&self, digest: Digest) -> Slot {
        self.loaded.lock().entry(digest).or_default().clone()
    }

    /// Reads the file on a blocking thread.
    pub(super) async fn load(&self, digest: Digest, kind: ModuleKind) -> Result<Component, wasm::LoadError> {
        let (engine, path) = (self.engine.clone(), self.path(&digest));
        let loaded = tasks::spawn_blocking("load-module", move || engine.load(&path, kind)).await;
        loaded.unwrap_or_else(|_| Err(wasm::LoadError::Link("loading was given up".to_owned())))
    }

    /// Drops a module's compiled form from memory and disk. Instances that run keep their code until they end.
    pub(super) fn forget(&self, digest: &Digest) {
        self.loaded.lock().remove(digest);
        // A file that stays behind is dropped at the next start.
        let _ = fs::remove_file(self.path(digest));
    }
}
