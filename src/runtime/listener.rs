//! A bound address and the connections that come to it, up to a bound. What they are served with is their door's affair.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// After a failed accept, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound address; connections wait in its backlog until they are accepted.
pub struct Listener {
    listener: TcpListener,
    addr: SocketAddr,
}

/// A connection.
pub struct Accepted {
    /// its bytes
    pub stream: TcpStream,
    /// whence it came
    pub remote: SocketAddr,
    /// its place among the connections, to be kept as long as it lasts
    pub place: OwnedSemaphorePermit,
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

    /// The next connection, once there is room for it; until then, clients wait in the system's backlog. `None`: that one
    /// came to nothing, the next may.
    pub async fn accept(&self, room: &Arc<Semaphore>) -> Option<Accepted> {
        let place = room.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, remote)) => Some(Accepted { stream, remote, place }),
            Err(error) => {
                tracing::warn!(addr = %self.addr, %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}
