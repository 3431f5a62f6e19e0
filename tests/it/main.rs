//! The integration tests, in one binary: each more would cost a link of its own.

mod bad_input;
mod deployments;
mod disk;
mod guests;
mod http_records;
mod http_resources;
mod kafka;
mod layout;
mod limits;
mod live;
mod modules;
mod nexmark;
mod outcomes;
mod params;
mod readme;
mod refusals;
mod runs;
mod shadows;
mod sinks;
mod sources;
mod state_ttl;
mod support;
mod timers;
mod upgrades;
mod views;
mod yaml_specs;
