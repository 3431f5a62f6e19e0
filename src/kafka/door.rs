//! What all connections share, and what handlers may ask of it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::api::fetch::Sessions;
use super::budget::{Budget, Share};
use super::complaints::Complaints;
use super::connection::{Close, Peer};
use super::meter::Meter;
use super::wire::{ApiKey, Str};
use super::{Options, State};
use crate::broker::Broker;
use crate::groups::Groups;
use crate::model::limits::{KAFKA_STALL_MAX, KIB};
use crate::runtime::shutdown::Shutdown;

/// The one broker of the cluster. Kafka's own examples begin at 1.
pub const NODE_ID: i32 = 1;

/// An answer of this size takes no room from others: all connections together may have some.
const SMALL_ANSWER: usize = 16 * KIB;

/// Shared by all connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Door(Arc<Inner>);

struct Inner {
    state: State,
    options: Options,
    cluster_id: Str,
    requests: Budget,
    answers: Budget,
    meter: Meter,
    complaints: Complaints,
    sessions: Sessions,
    shutdown: Shutdown,
}

/// What a handler knows of its request beside the body.
#[derive(Debug, Clone)]
pub(super) struct RequestContext {
    /// what is asked
    pub(super) api: ApiKey,
    /// in which version
    pub(super) version: i16,
    /// to be given back
    pub(super) correlation_id: i32,
    /// what the client calls itself
    pub(super) client_id: Option<Str>,
    /// whence it came
    pub(super) peer: Arc<Peer>,
}

/// The address that clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: Str,
    pub(super) port: i32,
}

// === impl Door ===

impl Door {
    pub(super) fn new(options: Options, state: State, shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner {
            cluster_id: Str::from(state.broker.storage().cluster_id()),
            requests: Budget::new(options.memory),
            answers: Budget::new(options.memory),
            meter: Meter::new(),
            complaints: Complaints::default(),
            sessions: Sessions::default(),
            state,
            options,
            shutdown,
        }))
    }

    /// Topics, produce, fetch.
    pub(super) fn broker(&self) -> &Broker {
        &self.0.state.broker
    }

    /// Groups and their offsets.
    pub(super) fn groups(&self) -> &Groups {
        self.0.state.broker.groups()
    }

    /// As configured.
    pub(super) fn options(&self) -> &Options {
        &self.0.options
    }

    /// The same for as long as the data exists.
    pub(super) fn cluster_id(&self) -> &Str {
        &self.0.cluster_id
    }

    /// Where the client of this request shall connect to.
    pub(super) fn endpoint(&self, ctx: &RequestContext) -> Endpoint {
        let local = ctx.peer.local;
        match &self.0.options.advertised {
            Some(advertised) => {
                let port = advertised.port.unwrap_or(local.port());
                Endpoint { host: Str::from(&advertised.host), port: i32::from(port) }
            }
            // The way it came is a way that works for it.
            None => Endpoint {
                host: Str::from(local.ip().to_canonical().to_string()),
                port: i32::from(local.port()),
            },
        }
    }

    /// Room for requests.
    pub(super) fn requests(&self) -> &Budget {
        &self.0.requests
    }

    /// Room for large answers.
    pub(super) fn answers(&self) -> &Budget {
        &self.0.answers
    }

    /// Room for an answer, to be kept until its client has taken it.
    ///
    /// # Errors
    /// There was none for as long as a client may be slow.
    pub(super) async fn room(&self, bytes: usize) -> Result<Share, Close> {
        let mut share = Share::default();
        if bytes > SMALL_ANSWER {
            let taken = tokio::time::timeout(KAFKA_STALL_MAX, self.answers().grow(&mut share, bytes)).await;
            taken.map_err(|_| Close(format!("there was no room for an answer of {bytes} bytes")))?;
        }
        Ok(share)
    }

    /// What clients read with incremental fetches.
    pub(super) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Counts.
    pub(super) fn meter(&self) -> &Meter {
        &self.0.meter
    }

    /// Log lines that clients cause.
    pub(super) fn complaints(&self) -> &Complaints {
        &self.0.complaints
    }

    /// What the future gives, or nothing once the server is told to stop: long waits end early then.
    pub(super) async fn until_stopping<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut shutdown = self.0.shutdown.clone();
        tokio::select! {
            // What is there already is given, also while stopping.
            biased;
            value = future => Some(value),
            () = shutdown.requested() => None,
        }
    }
}

// === impl RequestContext ===

impl RequestContext {
    /// The client's address as Kafka shows it: `/127.0.0.1`.
    pub(super) fn client_host(&self) -> String {
        format!("/{}", self.peer.remote.ip().to_canonical())
    }

    /// For log lines.
    pub(super) fn client(&self) -> SocketAddr {
        self.peer.remote
    }
}
