//! Floor 7: the HTTP door. Bytes in, bytes out: hyper holds the connections, the gate checks what every request has to
//! pass, axum routes, handlers parse into checked types, call the floors below and show what comes back. Nothing here
//! decides what a topic, a module or a deployment may do.

#![expect(unused_qualifications, reason = "utoipa's macros write whole paths to the types of the routes")]

mod answer;
mod body;
mod cluster;
pub mod codes;
mod consume;
mod control_events;
mod deployments;
mod error;
mod extract;
mod gate;
mod groups;
mod health;
mod home;
pub(crate) mod json_text;
mod lifecycle;
mod listener;
mod logs;
mod metrics;
mod modules;
mod openapi;
mod origin;
mod page;
mod position;
mod produce;
mod query;
mod refusals;
mod route_name;
mod router;
mod runs;
pub(crate) mod samples;
mod shadows;
mod socket;
mod spec;
mod state;
mod topics;
mod verdicts;
mod yaml;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::model::limits::MIB;
use crate::pipelines::Pipelines;
use crate::registry::Registry;
use crate::runtime::listener::Listener;
use crate::runtime::shutdown::Shutdown;
use crate::storage::Storage;

pub use cluster::{Identity, ListenersView, SettingView};

/// How to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// host names that are answered beside addresses and names of this machine; see `origin`
    pub allowed_hosts: Vec<String>,
    /// connections at once; more wait in the system's backlog. Default 4096; each costs about 16 KiB, and a file descriptor
    pub max_connections: usize,
    /// bytes of request bodies and answers in memory at once, over all connections. Default 256 MiB; less than 64 MiB
    /// refuses large uploads
    pub memory: usize,
    /// how long running requests may take to end after the shutdown. Default 10 s
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let drain = Duration::from_secs(10);
        Self { allowed_hosts: Vec::new(), max_connections: 4096, memory: 256 * MIB, drain }
    }
}

/// What the handlers work on.
pub struct State {
    /// topics, produce, read
    pub broker: Broker,
    /// deployments and their state
    pub pipelines: Pipelines,
    /// modules
    pub registry: Registry,
    /// for readiness
    pub storage: Storage,
    /// what this server is, for `/v1/cluster` and `/v1/config`
    pub identity: Identity,
    /// makes the text of `/metrics`
    pub metrics_render: Box<dyn Fn() -> String + Send + Sync>,
}

/// Serves until the shutdown, then drains.
pub async fn serve(listener: Listener, options: Options, state: State, shutdown: Shutdown) {
    let budget = body::Budget::new(options.memory);
    let watchers = state::Watchers::default();
    let app = App(Arc::new(Inner { state, budget, watchers, shutdown: shutdown.clone() }));
    let gate = gate::Gate::new(router::router(app), options.allowed_hosts);
    listener::run(listener, Arc::new(gate), options.max_connections, options.drain, shutdown).await;
}

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
struct App(Arc<Inner>);

struct Inner {
    state: State,
    budget: body::Budget,
    watchers: state::Watchers,
    shutdown: Shutdown,
}

impl App {
    /// What the future gives, or nothing once the server is told to stop: long waits end early then.
    async fn until_stopping<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            // What is there already is given, also while stopping.
            biased;
            value = future => Some(value),
            () = shutdown.requested() => None,
        }
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Deref for Inner {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}
