//! Idle connections of one instance. They are shared with nobody, and end with it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::access::Target;
use super::dial::Connection;
use crate::model::limits::HTTP_IDLE_CONNECTIONS_MAX;
use crate::runtime::clock::monotonic;

/// How long a connection may lie idle: servers close theirs after some seconds to a minute (a guess).
const IDLE_MAX: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    target: Target,
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// One that was last used for this target, if it is still open.
    pub(super) fn take(&self, target: &Target) -> Option<Connection> {
        let mut idle = self.idle.lock();
        let now = monotonic();
        idle.retain(|i| !i.connection.sender.is_closed() && now.duration_since(i.since) < IDLE_MAX);
        let at = idle.iter().rposition(|i| i.target == *target)?;
        Some(idle.remove(at).connection)
    }

    /// Is one kept that the other side has not closed?
    #[cfg(test)]
    pub(super) fn is_open(&self) -> bool {
        self.idle.lock().iter().any(|idle| !idle.connection.sender.is_closed())
    }

    /// Keeps a connection; the oldest makes room.
    pub(super) fn put(&self, target: Target, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock();
        if idle.len() >= HTTP_IDLE_CONNECTIONS_MAX {
            idle.remove(0);
        }
        idle.push(Idle { target, connection, since: monotonic() });
    }
}
