//! Floor 0: time, tasks, sockets and what happens. The only code that asks for the time or starts a task or a thread.

pub mod backoff;
pub mod build;
pub mod clock;
pub mod events;
pub mod guests;
pub mod listener;
pub mod nudges;
pub mod shutdown;
pub mod slices;
pub mod tasks;
