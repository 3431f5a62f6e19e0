//! Notices saved files. It looks at sources only: what a build writes would make it build for ever. It looks several times
//! a second instead of asking the system, which costs a millisecond for a project and works on every file system.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often it looks. A change counts once a look finds nothing new: an editor may write a file in several steps.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Folders that hold no sources.
const BUILT: [&str; 4] = ["target", "build", "node_modules", "__pycache__"];
/// Files that builds write beside the sources.
const LOCKS: [&str; 3] = ["Cargo.lock", "package-lock.json", "uv.lock"];
/// More files than a project has; beyond them nothing is watched.
const FILES_MAX: usize = 10_000;

/// Every source file with its size and the time of its last change.
type Seen = Vec<(PathBuf, u64, SystemTime)>;

/// The sources of one folder.
pub(super) struct Watch {
    folder: PathBuf,
    taken: Seen,
    /// the newest change since the one before
    saved: Option<SystemTime>,
}

impl Watch {
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), taken: look(folder), saved: None }
    }

    /// What is there now counts as seen.
    pub(super) fn take(&mut self) {
        self.taken = look(&self.folder);
    }

    /// Waits for a change since [`Watch::take`], and for quiet after it.
    pub(super) async fn changed(&mut self) {
        let mut before = self.taken.clone();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = look(&self.folder);
            if now != self.taken && now == before {
                self.saved = now.iter().filter(|file| !self.taken.contains(file)).map(|file| file.2).max();
                return;
            }
            before = now;
        }
    }

    /// Time since the change that was waited for.
    pub(super) fn age(&self) -> Option<Duration> {
        self.saved?.elapsed().ok()
    }
}

fn look(folder: &Path) -> Seen {
    let mut seen = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Hidden: .git, .venv, .millstream, and the files that editors swap with.
            if name.starts_with('.')
                || BUILT.contains(&&*name)
                || LOCKS.contains(&&*name)
                || name.ends_with('~')
            {
                continue;
            }
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if let Ok(modified) = metadata.modified()
                && seen.len() < FILES_MAX
            {
                seen.push((entry.path(), metadata.len(), modified));
            }
        }
    }
    seen.sort();
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_saved_source_is_noticed_and_a_built_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("src/index.js", "a");
        let mut watch = Watch::of(folder.path());
        for built in
            ["target/x.wasm", "build/x.wasm", "node_modules/x/y.js", ".venv/x", "Cargo.lock", "src/index.js~"]
        {
            write(built, "b");
        }
        let short = Duration::from_secs(1);
        assert!(tokio::time::timeout(short, watch.changed()).await.is_err(), "a build is no change");

        write("src/index.js", "ab");
        watch.changed().await;
        assert!(watch.age().is_some());
        watch.take();
        assert!(tokio::time::timeout(short, watch.changed()).await.is_err(), "a change is seen once");
    }
}
