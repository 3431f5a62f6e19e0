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

/// For a thread that others wait for and that mostly does little: long work of it still gets its share of the CPU, in more pieces.
/// Those that it starts have ordinary slices.
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

/// Whoever runs the server under another policy of the system has chosen it; that one stays as it is.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "two system calls that no library wraps")]
fn set(slice: Duration, inherited: bool) -> io::Result<()> {
    // SAFETY: it takes a number, 0 for the calling thread, and gives one.
    let policy = unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
    if policy != libc::SCHED_OTHER && policy != libc::SCHED_BATCH {
        return Ok(());
    }
    let flags = if inherited { 0 } else { libc::SCHED_FLAG_RESET_ON_FORK };
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>().try_into().unwrap_or(u32::MAX),
        sched_policy: policy.unsigned_abs(),
        sched_flags: flags.unsigned_abs().into(),
        sched_nice: rustix::process::getpriority_process(None)?,
        sched_priority: 0,
        sched_runtime: slice.as_nanos().try_into().unwrap_or(u64::MAX),
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads `size` bytes, all of which are there, for the calling thread.
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
    use crate::runtime::tasks;

    /// Of the calling thread; zero from a kernel that has none of one's own choice.
    #[expect(unsafe_code, reason = "a system call that no library wraps")]
    fn slice() -> Duration {
        // SAFETY: the structure holds numbers alone.
        let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::sched_attr>();
        // SAFETY: the kernel writes no more than `size` bytes.
        let answer = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
        assert_eq!(answer, 0, "{}", io::Error::last_os_error());
        Duration::from_nanos(attributes.sched_runtime)
    }

    fn of_another_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        tasks::thread("a thread", work).expect("a thread").join().expect("its end")
    }

    #[test]
    fn a_short_slice_is_the_threads_own_and_a_long_one_is_inherited() {
        let ordinary = slice();
        let nice = rustix::process::getpriority_process(None).unwrap();
        let of = |ask: fn()| {
            of_another_thread(move || {
                ask();
                (slice(), of_another_thread(slice), rustix::process::getpriority_process(None).unwrap())
            })
        };
        let (shorts, longs) = (of(short), of(long));
        if ordinary.is_zero() {
            return;
        }
        assert_eq!((shorts, longs), ((SHORT, ordinary, nice), (LONG, LONG, nice)));
    }
}
