//! The Kafka door: frames in, frames out. Behind it nobody knows an error code of Kafka, a version or a byte of its
//! messages; in it nobody decides what a topic, a group or a transaction does.
//!
//! `wire` reads and writes the messages and does nothing else; it is the only code that knows their bytes. `listener` and
//! `connection` move frames, `dispatch` is the table of what is served, and `api` has a file for each API: thin handlers
//! that ask the floors below.

mod alteration;
mod api;
mod broker_config;
mod budget;
mod complaints;
mod connection;
mod dispatch;
mod door;
pub mod error_code;
mod export;
mod frame;
mod listener;
mod meter;
mod outgoing;
mod refusal;
mod replicas;
mod resource;
mod setting;
mod versions;
pub mod wire;

use std::fmt;
use std::time::Duration;

use crate::broker::Broker;
use crate::model::limits::{KAFKA_CONNECTIONS_DEFAULT, MIB};
use crate::runtime::listener::Listener;
use crate::runtime::shutdown::Shutdown;

pub use door::NODE_ID;
pub use export::render_metrics;

/// How to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// what clients are told to connect to; `None`: the address through which each of them came
    pub advertised: Option<Advertised>,
    /// whether a client that asks for a topic may thereby create it. Default true
    pub auto_create_topics: bool,
    /// partitions of a topic whose creator did not say how many. Default 1
    pub num_partitions: u32,
    /// record replication factors above 1 instead of refusing them. Default false
    pub accept_replication_factor: bool,
    /// connections at once; more wait in the system's backlog. Default 8192
    pub max_connections: usize,
    /// bytes of requests in memory at once, over all connections, and as many of answers. Default 64 MiB; less than the
    /// largest request makes such requests wait for each other
    pub memory: usize,
    /// how long running requests may take to end after the shutdown. Default 10 s
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            advertised: None,
            auto_create_topics: true,
            num_partitions: 1,
            accept_replication_factor: false,
            max_connections: KAFKA_CONNECTIONS_DEFAULT,
            memory: 64 * MIB,
            drain: Duration::from_secs(10),
        }
    }
}

/// An address as clients are told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// a name or an address
    pub host: String,
    /// `None`: the port of the listener
    pub port: Option<u16>,
}

/// Shown as clients write it, IPv6 in brackets.
impl fmt::Display for Advertised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// What the handlers work on.
pub struct State {
    /// topics, produce, fetch
    pub broker: Broker,
}

/// Serves until the shutdown, then drains.
pub async fn serve(listener: Listener, options: Options, state: State, shutdown: Shutdown) {
    let (connections_max, drain) = (options.max_connections, options.drain);
    let door = door::Door::new(options, state, shutdown.clone());
    listener::run(listener, door, connections_max, drain, shutdown).await;
}
