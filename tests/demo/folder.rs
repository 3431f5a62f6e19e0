//! The demo's folder: emptied for each run, but never below a server that still works in it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Makes the folder, or empties it. `store` is where a server in it has its data.
///
/// # Errors
/// A server has the data open; then nothing was removed. Or the system's.
pub(crate) fn fresh(folder: &Path, store: &str) -> anyhow::Result<()> {
    let store = folder.join(store);
    if let Some(holder) = holder(&store.join("LOCK")).with_context(|| store.display().to_string())? {
        bail!(
            "a demo runs already: its server, process {holder}, has its data in {}\n\
             end that demo first, with Ctrl-C in its terminal or `kill {holder}`",
            store.display()
        );
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

/// The process that holds a data folder's lock, as long as it lives; its text is that process's id.
fn holder(lock: &Path) -> anyhow::Result<Option<String>> {
    let file = match File::open(lock) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(None),
        Err(Errno::WOULDBLOCK) => Ok(Some(fs::read_to_string(lock)?)),
        Err(error) => Err(error.into()),
    }
}
