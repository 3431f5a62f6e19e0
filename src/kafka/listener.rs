//! Connections of Kafka clients: accepted up to a bound, drained when the server stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{self, Peer};
use super::door::Door;
use crate::runtime::listener::{Accepted, Listener};
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks;

/// Serves until the shutdown, then lets running requests end for at most `drain`.
pub(super) async fn run(
    listener: Listener,
    door: Door,
    connections_max: usize,
    drain: Duration,
    mut shutdown: Shutdown,
) {
    let most = u32::try_from(connections_max.max(1)).unwrap_or(u32::MAX);
    let room = Arc::new(Semaphore::new(most as usize));
    loop {
        if room.available_permits() == 0 {
            let most = "as many clients as kafka.max_connections allows are connected; the next ones wait until one leaves";
            door.complaints().warn("-", most);
        }
        let accepted = tokio::select! {
            biased;
            () = shutdown.requested() => break,
            accepted = listener.accept(&room) => accepted,
        };
        let Some(Accepted { stream, remote, place }) = accepted else { continue };
        door.meter().opened();
        let open = Open { _place: place, door: door.clone() };
        let peer = Peer { remote, local: stream.local_addr().unwrap_or(listener.local_addr()) };
        let connection = connection::serve(stream, peer, door.clone(), shutdown.clone());
        tasks::spawn("kafka connection", async move {
            let _open = open;
            connection.await;
        });
    }
    // New connections are refused by the system from here on.
    drop(listener);
    if tokio::time::timeout(drain, room.acquire_many(most)).await.is_err() {
        tracing::warn!(?drain, "some requests of Kafka clients did not end in time and are cut off");
    }
}

/// A place among the connections, counted in the metrics.
struct Open {
    _place: OwnedSemaphorePermit,
    door: Door,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.door.meter().closed();
    }
}
