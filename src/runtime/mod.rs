//! Floor 0: time and tasks. The only code that asks for the time or starts a task or a thread.

pub mod backoff;
pub mod build;
pub mod clock;
pub mod shutdown;
pub mod tasks;
