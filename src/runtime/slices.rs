//! For how long the system's scheduler lets a thread go on that computes. Linux lets it finish its slice, 1 to 3 ms, before one
//! of equal standing that wakes gets the CPU, and may look no more often than every 4 ms; meanwhile a commit waits for its
//! thread. A thread with a shorter slice than the running one's gets the CPU at once (from Linux 6.12). Shares stay equal.
//!
//! The only file beside `wasm/artifact` and `wasm/entries` with unsafe code: no library offers the call.

use std::io;
use std::time::Duration;

/// Shorter than every ordinary one.
const SHORT: Duration = Duration::from_micros(300);
/// The longest there is.
const LONG: Duration = Duration::from_millis(100);

/// For a thread that does little and that others wait for. Those that it starts have ordinary slices.
pub fn short() {
    told(set(SHORT, false));
}

/// For a thread, and those that it starts, with work that nobody waits for in milliseconds.
pub fn long() {
    told(set(LONG, true));
}

/// A system that does not know slices goes on as before.
fn told(done: io::Result<()>) {
    if let Err(error) = done {
        tracing::debug!(%error, "the length of this thread's slices stays as it was");
    }
}

#[cfg(target_os = "linux")]
fn set(slice: Duration, inherited: bool) -> io::Result<()> {
    let flags = libc::SCHED_FLAG_KEEP_POLICY | if inherited { 0 } else { libc::SCHED_FLAG_RESET_ON_FORK };
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>().try_into().unwrap_or(u32::MAX),
        sched_policy: 0,
        sched_flags: flags.unsigned_abs().into(),
        sched_nice: rustix::process::getpriority_process(None)?,
        sched_priority: 0,
        sched_runtime: slice.as_nanos().try_into().unwrap_or(u64::MAX),
        sched_deadline: 0,
        sched_period: 0,
    };
    #[expect(unsafe_code, reason = "a system call that no library wraps")]
    // SAFETY: the kernel reads `size` bytes, all of which are there, of the first thread that is named: 0, the calling one.
    let answer = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn set(_slice: Duration, _inherited: bool) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_takes_every_slice_and_the_priority_stays() {
        let before = rustix::process::getpriority_process(None).unwrap();
        for (slice, inherited) in [(LONG, true), (SHORT, false)] {
            set(slice, inherited).unwrap();
        }
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before);
    }
}
