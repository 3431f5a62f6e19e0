//! Connections of Kafka clients: accepted up to a bound, drained when the server stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{self, Peer};
use super::door::Door;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks;

/// After a failed accept, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound address; connections wait in its backlog until `Listener::run`.
pub struct Listener {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    /// Binds; port 0 takes any free one.
    ///
    /// # Errors
    /// The system's.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until the shutdown, then lets running requests end for at most `drain`.
    pub(super) async fn run(
        self,
        door: Door,
        connections_max: usize,
        drain: Duration,
        mut shutdown: Shutdown,
    ) {
        let most = u32::try_from(connections_max.max(1)).unwrap_or(u32::MAX);
        let room = Arc::new(Semaphore::new(most as usize));
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.requested() => break,
                accepted = accept(&self.listener, &room, &door) => accepted,
            };
            let Some((stream, remote, permit)) = accepted else { continue };
            let peer = Peer { remote, local: stream.local_addr().unwrap_or(self.addr) };
            let connection = connection::serve(stream, peer, door.clone(), shutdown.clone());
            tasks::spawn("kafka connection", async move {
                let _open = permit;
                connection.await;
            });
        }
        // New connections are refused by the system from here on.
        drop(self.listener);
        if tokio::time::timeout(drain, room.acquire_many(most)).await.is_err() {
            tracing::warn!(?drain, "some requests of Kafka clients did not end in time and are cut off");
        }
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

/// The next connection, once there is room for it; until then, clients wait in the system's backlog.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    door: &Door,
) -> Option<(TcpStream, SocketAddr, Open)> {
    if room.available_permits() == 0 {
        let most = "as many clients as kafka.max_connections allows are connected; the next ones wait until one leaves";
        door.complaints().warn("-", most);
    }
    let place = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, remote)) => {
            door.meter().opened();
            Some((stream, remote, Open { _place: place, door: door.clone() }))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection of a Kafka client could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}
