//! Floor 0: time, tasks and sockets. The only code that asks for the time or starts a task or a thread.

pub mod backoff;
pub mod build;
pub mod clock;
pub mod listener;
pub mod shutdown;
pub mod tasks;
