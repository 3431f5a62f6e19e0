//! The exchanges of one instance that are under way, and what each of them holds. All of it ends with the call into the guest:
//! an answer that is left unread would else keep its connection and its places for as long as the instance lives.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::dial::Connection;

#[derive(Default)]
pub(super) struct UnderWay(Mutex<Vec<Weak<Exchange>>>);

/// One request and its answer.
pub(super) struct Exchange {
    /// none: ended
    held: Mutex<Option<Held>>,
    ended: Notify,
}

struct Held {
    /// from the head of the answer to its end
    connection: Option<Connection>,
    /// among the requests of the instance, of the deployment and of the node
    places: Vec<OwnedSemaphorePermit>,
}

// === impl UnderWay ===

impl UnderWay {
    /// A request that has no place yet: it is known from here on, so that the end of its call ends it also while it waits.
    pub(super) fn begin(&self) -> Arc<Exchange> {
        let held = Mutex::new(Some(Held { connection: None, places: Vec::new() }));
        let exchange = Arc::new(Exchange { held, ended: Notify::new() });
        let mut open = self.0.lock();
        open.retain(|exchange| exchange.strong_count() > 0);
        open.push(Arc::downgrade(&exchange));
        exchange
    }

    /// Ends all of them, whoever holds their answers.
    pub(super) fn end_all(&self) {
        let open = std::mem::take(&mut *self.0.lock());
        for exchange in open.iter().filter_map(Weak::upgrade) {
            exchange.held.lock().take();
            exchange.ended.notify_one();
        }
    }
}

// === impl Exchange ===

impl Exchange {
    /// Waits for the end of the call that it belongs to.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Keeps a place until its end; false: it has ended meanwhile.
    pub(super) fn hold(&self, place: OwnedSemaphorePermit) -> bool {
        self.held.lock().as_mut().map(|held| held.places.push(place)).is_some()
    }

    /// Keeps the connection that the answer comes over; false: it has ended meanwhile.
    pub(super) fn keep(&self, connection: Connection) -> bool {
        match &mut *self.held.lock() {
            Some(held) => {
                held.connection = Some(connection);
                true
            }
            None => false,
        }
    }

    /// The connection, if nobody has taken it and the call goes on.
    pub(super) fn take_connection(&self) -> Option<Connection> {
        self.held.lock().as_mut()?.connection.take()
    }
}
