//! Compilation in a child process of this binary: it cannot be interrupted from within, and a compile bomb must not take
//! the server with it. One at a time, at low priority, within bounds of memory and time.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, Signal};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::error::UploadError;
use crate::model::duration::format_duration;
use crate::model::limits::{COMPILE_MEMORY_MAX, COMPILE_TIME_MAX};
use crate::runtime::slices;

/// The hidden subcommand: `compile-module --component PATH --out PATH --cpu SECONDS`.
pub const SUBCOMMAND: &str = "compile-module";
/// The child's exit code when the component is not to blame: a file of the server's that cannot be read or written, a bound
/// that the system does not take. EX_IOERR of sysexits.h.
pub const SERVERS_FAULT: u8 = 74;
/// Compilations that run or wait. Each holds its module's bytes, 64 MiB at most.
const QUEUE_MAX: usize = 8;
/// What is read of the child's complaints.
const STDERR_MAX: u64 = 16 << 10;
/// Added to the priority: only when nobody else wants the CPU.
const NICE: i32 = 15;

/// Bounds for the compiling child, set by itself before it reads anything; its body is
/// [`crate::wasm::artifact::compile_file`].
///
/// # Errors
///
/// The system refused a bound; the child must not go on.
pub fn limit_self(cpu_seconds: u64) -> io::Result<()> {
    let at_most = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    rustix::process::setrlimit(Resource::As, at_most(COMPILE_MEMORY_MAX))?;
    // Of all of the compiler's threads together; wall time is watched by the parent. SIGXCPU, which says what it is for,
    // comes at the first bound; at the second one the kernel kills.
    let cpu = Rlimit { current: Some(cpu_seconds), maximum: Some(cpu_seconds.saturating_add(2)) };
    rustix::process::setrlimit(Resource::Cpu, cpu)?;
    rustix::process::setrlimit(Resource::Core, at_most(0))?;
    rustix::process::nice(NICE)?;
    slices::long();
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// Starts the children.
pub(super) struct Compiler {
    exe: PathBuf,
    cpu_max: Duration,
    time_max: Duration,
    queue: Semaphore,
    running: Semaphore,
}

impl Compiler {
    pub(super) fn new(exe: PathBuf, cpu_max: Duration) -> Self {
        let (queue, running) = (Semaphore::new(QUEUE_MAX), Semaphore::new(1));
        Self { exe, cpu_max, time_max: COMPILE_TIME_MAX, queue, running }
    }

    #[cfg(test)]
    pub(super) fn with_time_max(self, time_max: Duration) -> Self {
        Self { time_max, ..self }
    }

    /// Compiles a component into the file `out`. Waits for its turn; dropping the future ends the child.
    pub(super) async fn compile(&self, component: &Bytes, out: &Path) -> Result<(), UploadError> {
        let _queued = self.queue.try_acquire().map_err(|_| UploadError::Busy)?;
        let _running = self.running.acquire().await.map_err(|_| UploadError::Busy)?;

        let source = TemporaryFile(out.with_extension("component.partial"));
        tokio::fs::write(&source.0, component).await.map_err(UploadError::Cache)?;
        let mut child = self.start(&source.0, out).map_err(|e| UploadError::Compiler {
            detail: format!("{} cannot be started: {e}", self.exe.display()),
        })?;

        let Ok(ended) = tokio::time::timeout(self.time_max, end(&mut child)).await else {
            // Reaped here, so that the next one does not run beside it.
            let _ = child.kill().await;
            return Err(UploadError::CompileTimeout { seconds: self.time_max.as_secs() });
        };
        let (status, complaint) = ended.map_err(|e| UploadError::Compiler { detail: e.to_string() })?;
        if status.success() {
            return Ok(());
        }
        if status.code() == Some(i32::from(SERVERS_FAULT)) {
            return Err(UploadError::Compiler { detail: complaint });
        }
        Err(UploadError::CompileFailed { detail: why(status, &complaint, self.cpu_max) })
    }

    fn start(&self, component: &Path, out: &Path) -> io::Result<Child> {
        Command::new(&self.exe)
            .arg(SUBCOMMAND)
            .arg("--component")
            .arg(component)
            .arg("--out")
            .arg(out)
            .arg("--cpu")
            .arg(self.cpu_max.as_secs().max(1).to_string())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

/// Waits for the child's end and what it wrote.
async fn end(child: &mut Child) -> io::Result<(ExitStatus, String)> {
    let mut complaint = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let mut stderr = stderr.take(STDERR_MAX);
        stderr.read_to_end(&mut complaint).await?;
        // The rest is thrown away, so that the child cannot hang on a full pipe.
        tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await?;
    }
    Ok((child.wait().await?, String::from_utf8_lossy(&complaint).trim().to_owned()))
}

fn why(status: ExitStatus, complaint: &str, cpu_max: Duration) -> String {
    let signal = status.signal();
    let cause = if signal == Some(Signal::XCPU.as_raw()) {
        let most = format_duration(cpu_max);
        format!("it took more than {most} of CPU time (`limits.compile_cpu` in the server's settings)")
    } else if complaint.contains("memory allocation of") {
        format!("it took more than {} MiB of memory", COMPILE_MEMORY_MAX >> 20)
    } else if let Some(signal) = signal {
        format!("the compiler was ended by signal {signal}")
    } else {
        return if complaint.is_empty() {
            format!("the compiler ended with {status}")
        } else {
            complaint.to_owned()
        };
    };
    if complaint.is_empty() { cause } else { format!("{cause}: {complaint}") }
}

/// Removed when dropped.
struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // One that stays behind is dropped at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}
