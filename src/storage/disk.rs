//! How much room the disk has. Below the reserve writes are refused, so that retention, deletes and RocksDB's own
//! housekeeping still have room to work in.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::model::limits::GIB;

/// Unless set, the reserve is the larger of this and a twentieth of the disk.
const RESERVE_MIN: u64 = GIB as u64;
const RESERVE_PART: u64 = 20;
/// Writes are taken again when so much more than the reserve is free (a sixteenth of it), so that the state does not
/// flicker.
const HYSTERESIS_PART: u64 = 16;

/// The disk that holds the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskStatus {
    /// bytes of the disk
    pub total: u64,
    /// bytes that can still be written
    pub free: u64,
    /// bytes below which writes are refused
    pub reserve: u64,
    /// writes are being refused
    pub full: bool,
}

/// Free and all bytes of a disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Space {
    pub(super) free: u64,
    pub(super) total: u64,
}

/// Asks for the space of the disk.
pub(super) type Probe = Box<dyn Fn() -> io::Result<Space> + Send + Sync>;

pub(super) struct Disk {
    probe: Probe,
    status: Mutex<DiskStatus>,
    /// the reserve in bytes, if it is set
    set: Mutex<Option<u64>>,
    /// as in `status`, for the look on every commit
    full: AtomicBool,
}

/// The disk that holds `path`.
pub(super) fn probe(path: &Path) -> Probe {
    let path = path.to_owned();
    Box::new(move || {
        let stat = rustix::fs::statvfs(&path)?;
        Ok(Space { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
    })
}

impl DiskStatus {
    fn after(self, space: Space, set: Option<u64>) -> Self {
        let reserve = set.unwrap_or(RESERVE_MIN.max(space.total / RESERVE_PART));
        let enough = if self.full { reserve.saturating_add(reserve / HYSTERESIS_PART) } else { reserve };
        Self { total: space.total, free: space.free, reserve, full: space.free < enough }
    }
}

impl Disk {
    pub(super) fn new(probe: Probe) -> Self {
        let status = DiskStatus { total: 0, free: 0, reserve: RESERVE_MIN, full: false };
        let (status, set, full) = (Mutex::new(status), Mutex::default(), AtomicBool::new(false));
        let disk = Self { probe, status, set, full };
        disk.observe();
        disk
    }

    /// Looks again. A disk that cannot be asked keeps its last status.
    pub(super) fn observe(&self) -> DiskStatus {
        let space = match (self.probe)() {
            Ok(space) => space,
            Err(error) => {
                tracing::warn!(%error, "cannot ask the disk for its free space");
                return *self.status.lock();
            }
        };
        let mut status = self.status.lock();
        let before = *status;
        *status = before.after(space, *self.set.lock());
        let DiskStatus { free, reserve, full, .. } = *status;
        match (before.full, full) {
            (false, true) => {
                tracing::error!(free, reserve, "disk full: writes are refused until more is free");
            }
            (true, false) => tracing::info!(free, reserve, "the disk has room again: writes are taken"),
            _ => {}
        }
        self.full.store(full, Ordering::Relaxed);
        *status
    }

    /// Keeps so many bytes back from now on.
    pub(super) fn set_reserve(&self, bytes: u64) {
        *self.set.lock() = Some(bytes);
        let DiskStatus { total, .. } = self.observe();
        if total > 0 && bytes > total {
            tracing::warn!(
                reserve = bytes,
                total,
                "disk.reserve is more than the whole disk: every write is refused"
            );
        }
    }

    pub(super) fn status(&self) -> DiskStatus {
        *self.status.lock()
    }

    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB64: u64 = GIB as u64;

    #[test]
    fn the_reserve_is_a_gibibyte_or_a_twentieth_unless_set() {
        let empty = DiskStatus { total: 0, free: 0, reserve: 0, full: false };
        assert_eq!(empty.after(Space { free: 9, total: 10 * GIB64 }, None).reserve, GIB64);
        assert_eq!(empty.after(Space { free: 9, total: 100 * GIB64 }, None).reserve, 5 * GIB64);
        let set = empty.after(Space { free: 9, total: 100 * GIB64 }, Some(8));
        assert_eq!((set.reserve, set.full), (8, false));
    }

    #[test]
    fn a_full_disk_takes_writes_again_only_with_some_room_to_spare() {
        let total = 10 * GIB64;
        let mut status = DiskStatus { total: 0, free: 0, reserve: 0, full: false };
        let mut full = |free| {
            status = status.after(Space { free, total }, None);
            status.full
        };
        assert_eq!([GIB64, GIB64 - 1, GIB64, GIB64 + GIB64 / 16].map(&mut full), [false, true, true, false]);
    }
}
