//! The data directory: who may use it, which format it has, and what its disk can do.
//!
//! ```text
//! LOCK          held with flock by the process that has it open; its text is that process's id
//! format.json   {"format":2}
//! cluster-id    who this data is, see `identity`
//! guard         how far each log certainly reaches, see `guard`
//! accept-loss   made by an operator: open in spite of damage, see `reconcile`
//! db/           RocksDB
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};

use super::error::OpenError;

/// The format that this server writes, and the newest that it reads. It changes whenever bytes on disk do. Older ones are
/// read, and become this one when the database has been opened.
///
/// 1: topics, modules, deployments, task state, idempotency keys. 2: producers, transactions, groups, compaction; a server
/// that knows only 1 would show what is not committed.
pub(super) const FORMAT: u64 = 2;
/// Files that RocksDB may keep open whatever the limit is (a guess: it reopens files as it needs them).
const OPEN_FILES_MIN: i32 = 256;
/// Where no limit is set at all.
const OPEN_FILES_MAX: u64 = 1 << 20;

/// A directory that this process has to itself, for as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// the format that was found
    found: u64,
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct Format {
    format: u64,
}

impl Directory {
    /// Makes the directory if it is not there, locks it and checks its format.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(io("cannot create it"))?;
        let lock = lock(path)?;
        let mut directory = Self { path: path.to_owned(), found: FORMAT, _lock: lock };
        directory.found = directory.check_format()?;
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("db")
    }

    pub(super) fn guard(&self) -> PathBuf {
        self.path.join("guard")
    }

    pub(super) fn cluster_id(&self) -> PathBuf {
        self.path.join("cluster-id")
    }

    /// Has an operator accepted that what is damaged is lost?
    pub(super) fn accepts_loss(&self) -> bool {
        accept_loss_file(&self.path).exists()
    }

    /// The acceptance holds for one opening.
    pub(super) fn forget_acceptance(&self) {
        let file = accept_loss_file(&self.path);
        if let Err(error) = fs::remove_file(&file) {
            tracing::warn!(%error, file = %file.display(), "cannot remove the file; remove it by hand");
        }
    }

    /// Makes an older directory one of today's format: from now on older servers refuse it. To be called before anything
    /// is written.
    pub(super) fn upgrade(&self) -> Result<(), OpenError> {
        if self.found < FORMAT {
            self.write_format()?;
            tracing::info!(
                from = self.found,
                to = FORMAT,
                "the data directory has a newer format from now on"
            );
        }
        Ok(())
    }

    fn write_format(&self) -> Result<(), OpenError> {
        let text = serde_json::to_vec(&Format { format: FORMAT }).expect("a number is JSON");
        write_durably(&self.path.join("format.json"), &text)
            .map_err(|source| self.io_error("cannot write format.json", source))
    }

    fn check_format(&self) -> Result<u64, OpenError> {
        let file = self.path.join("format.json");
        let wrong = |detail: String| OpenError::Format { path: self.path.clone(), detail };
        match fs::read(&file) {
            Ok(text) => {
                let found: Format = serde_json::from_slice(&text).map_err(|e| {
                    wrong(format!(
                        "format.json cannot be read ({e}); restore it from a backup: {{\"format\":{FORMAT}}}"
                    ))
                })?;
                if found.format > FORMAT {
                    let (path, found) = (self.path.clone(), found.format);
                    return Err(OpenError::NewerFormat { path, found, known: FORMAT });
                }
                Ok(found.format)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if self.database().join("CURRENT").exists() {
                    let detail = "it has data but no format.json; restore that file from a backup";
                    return Err(wrong(detail.to_owned()));
                }
                self.write_format()?;
                Ok(FORMAT)
            }
            Err(source) => Err(self.io_error("cannot read format.json", source)),
        }
    }

    fn io_error(&self, action: &'static str, source: io::Error) -> OpenError {
        OpenError::Io { action, path: self.path.clone(), source }
    }

    /// Does the file system take direct I/O? Some refuse it.
    pub(super) fn takes_direct_io(&self) -> bool {
        let probe = self.path.join("direct-io-probe");
        let opened = rustix::fs::open(&probe, direct_flags(), Mode::RUSR | Mode::WUSR);
        // A probe that stays behind does no harm.
        let _ = fs::remove_file(&probe);
        opened.is_ok()
    }
}

#[cfg(target_os = "linux")]
fn direct_flags() -> OFlags {
    OFlags::CREATE | OFlags::WRONLY | OFlags::DIRECT
}

/// Elsewhere RocksDB asks for uncached I/O by other means, which every file system takes.
#[cfg(not(target_os = "linux"))]
fn direct_flags() -> OFlags {
    OFlags::CREATE | OFlags::WRONLY
}

/// The file by which an operator accepts loss.
pub(super) fn accept_loss_file(path: &Path) -> PathBuf {
    path.join("accept-loss")
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = path.join("LOCK");
    let io = |source| OpenError::Io { action: "cannot lock it", path: path.to_owned(), source };
    let mut lock =
        File::options().create(true).read(true).write(true).truncate(false).open(&file).map_err(io)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            // Only for the message that another process gets.
            let _ = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
            Ok(lock)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let holder = fs::read_to_string(&file).ok().filter(|pid| !pid.is_empty());
            Err(OpenError::InUse { path: path.to_owned(), holder })
        }
        Err(error) => Err(io(error.into())),
    }
}

/// Replaces a file so that after a loss of power either the old or the new content is there.
pub(super) fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut file = File::create(&next)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Raises the limit of open files to what is allowed. RocksDB gets half of them, connections the rest.
pub(super) fn open_files_max() -> i32 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(OPEN_FILES_MAX).min(OPEN_FILES_MAX);
    let now = limit.current.unwrap_or(OPEN_FILES_MAX);
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    let current = if now < wanted && rustix::process::setrlimit(Resource::Nofile, raised).is_ok() {
        wanted
    } else {
        now
    };
    i32::try_from(current / 2).unwrap_or(i32::MAX).max(OPEN_FILES_MIN)
}

/// What slows this build down, in words.
pub(super) fn missing_cpu_flags() -> Option<String> {
    let is_slow =
        cfg!(target_arch = "x86_64") && !cfg!(all(target_feature = "sse4.2", target_feature = "pclmulqdq"));
    is_slow.then(|| {
        "built without SSE4.2 and PCLMUL: checksums cost as much CPU as all the rest of a write; a RUSTFLAGS variable \
         replaces the flags in .cargo/config.toml, unset it and build again"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_refused_and_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Directory::open(dir.path()).unwrap();
        let error = Directory::open(dir.path()).unwrap_err();
        let pid = std::process::id().to_string();
        assert!(matches!(&error, OpenError::InUse { holder: Some(p), .. } if *p == pid), "{error}");
        drop(first);
        Directory::open(dir.path()).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("format.json"), r#"{"format":3}"#).unwrap();
        let error = Directory::open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::NewerFormat { found: 3, known: 2, .. }), "{error}");
    }

    #[test]
    fn data_without_a_format_is_refused_as_is_a_format_that_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("db")).unwrap();
        fs::write(dir.path().join("db/CURRENT"), "").unwrap();
        assert!(matches!(Directory::open(dir.path()).unwrap_err(), OpenError::Format { .. }));
        fs::write(dir.path().join("format.json"), "{").unwrap();
        assert!(matches!(Directory::open(dir.path()).unwrap_err(), OpenError::Format { .. }));
    }

    #[test]
    fn the_format_is_written_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        drop(Directory::open(dir.path()).unwrap());
        assert_eq!(fs::read_to_string(dir.path().join("format.json")).unwrap(), r#"{"format":2}"#);
        Directory::open(dir.path()).unwrap();
    }

    #[test]
    fn an_older_format_stays_until_it_is_upgraded() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("format.json");
        fs::write(&file, r#"{"format":1}"#).unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), r#"{"format":1}"#);
        directory.upgrade().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), r#"{"format":2}"#);
    }
}
