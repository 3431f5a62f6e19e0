//! The Kafka door as clients see it: frames over a socket, messages written and read by the oracle crate.

mod admin;
mod client;
mod cluster;
mod connections;
mod consumers;
mod fetching;
mod groups;
mod http_groups;
mod producing;
mod topics;
mod transactions;
mod views;
