//! Millstream: a broker that stores event streams and runs its users' WebAssembly on them.
//!
//! The modules are floors; each imports only from floors below. `docs/ARCHITECTURE.md` is the map, and a test
//! (`tests/it/layout.rs`) keeps it true.

pub mod broker;
pub mod cli;
pub mod config;
pub mod groups;
pub mod http;
pub mod kafka;
pub mod model;
pub mod pipelines;
pub mod registry;
pub mod runtime;
pub mod server;
pub mod state;
pub mod storage;
pub mod telemetry;
pub mod wasm;
