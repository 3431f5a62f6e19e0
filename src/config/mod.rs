//! The server's settings: what they are, their defaults, and where each value comes from. Precedence: flags, then the
//! environment, then the file, then defaults. The only code that reads the environment (`env`).

pub mod env;
mod knobs;
mod layers;
mod limits;
mod memory;
mod secrets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use knobs::{KNOBS, Knob};
pub use layers::{Layers, load};
pub use limits::Limits;

use crate::kafka::Advertised;
use crate::model::duration::format_bytes;
use crate::model::limits::{
    GROUP_MEMBERS_MAX, INITIAL_REBALANCE_DELAY, KAFKA_CONNECTIONS_DEFAULT, MIB, OFFSETS_KEPT,
};
use crate::model::secret::Secrets;

/// The least `memory`: below it RocksDB's buffers leave no room for requests.
pub const MEMORY_MIN: u64 = 64 * MIB as u64;
/// The least that is kept free of the disk: a round of RocksDB's housekeeping (a guess).
pub const DISK_RESERVE_MIN: u64 = 256 * MIB as u64;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// text on a terminal, JSON otherwise
    Auto,
    /// for people
    Text,
    /// one object a line, for machines
    Json,
}

/// Everything that can be set. Each field is described in [`KNOBS`], which `serve --help` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// where everything is kept
    pub data_dir: PathBuf,
    /// bytes for memtables, block cache, tail cache and requests in flight together
    pub memory: u64,
    /// free bytes of the disk that are kept back, if it is set
    pub disk_reserve: Option<u64>,
    /// threads that run the users' code
    pub guest_threads: usize,
    /// how long a stop waits for requests and batches under way
    pub drain: Duration,
    /// listens beyond loopback without authentication
    pub insecure: bool,
    /// the HTTP door
    pub http: Http,
    /// the Kafka door
    pub kafka: Kafka,
    /// consumer groups
    pub groups: Groups,
    /// what deployments may ask for
    pub limits: Limits,
    /// guests that go out
    pub outbound: Outbound,
    /// what deployments may send along, by name; from the file alone, and never shown
    pub secrets: Secrets,
    /// the server's own log
    pub log: Log,
    /// what was given from outside, the last word on each setting
    pub given: Vec<Given>,
}

/// A setting that somebody has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// as in [`KNOBS`]
    pub name: &'static str,
    /// its text
    pub text: String,
    /// the file's path, the environment or the command line
    pub origin: String,
}

/// The HTTP door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// where it listens; port 0 takes a free one
    pub addr: SocketAddr,
    /// `Host` names that are answered beside loopback names and the bound address; `*` answers all
    pub allowed_hosts: Vec<String>,
}

/// The Kafka door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kafka {
    /// where it listens; port 0 takes a free one; `None`: not at all
    pub addr: Option<SocketAddr>,
    /// what clients are told to connect to; `None`: the address through which they came
    pub advertised: Option<Advertised>,
    /// whether a client that asks for a topic may thereby create it
    pub auto_create_topics: bool,
    /// partitions of a topic whose creator did not say how many
    pub num_partitions: u32,
    /// record replication factors above 1 instead of refusing them
    pub accept_replication_factor: bool,
    /// connections at once
    pub max_connections: usize,
}

/// Consumer groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// how long the first rebalance of a group waits for more members
    pub initial_rebalance_delay: Duration,
    /// members of a group
    pub max_size: usize,
    /// how long offsets are kept that nobody uses
    pub offsets_retention: Duration,
}

/// How guests go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// certificates in PEM of those whom https trusts, instead of the roots that browsers trust
    pub ca_file: Option<PathBuf>,
}

/// The server's own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// a level, or directives such as `info,millstream::storage=debug`
    pub level: String,
    /// text or JSON
    pub format: LogFormat,
}

/// Why the server does not start with these settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named by `--config` or `MILLSTREAM_CONFIG` cannot be read.
    #[error("cannot read the config file {}", path.display())]
    Read {
        /// as given
        path: PathBuf,
        /// the system's answer
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("the config file {} is no TOML", path.display())]
    Syntax {
        /// as given
        path: PathBuf,
        /// line and column
        source: Box<toml::de::Error>,
    },
    /// A key that does not exist.
    #[error("unknown setting `{key}` in {origin}{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Unknown {
        /// as given
        key: String,
        /// flags, environment or the file's path
        origin: String,
        /// the nearest known key
        suggestion: Option<String>,
    },
    /// A value that does not fit.
    #[error("`{key}` in {origin}: {detail}")]
    Value {
        /// the setting
        key: String,
        /// flags, environment or the file's path
        origin: String,
        /// what was found and what is expected
        detail: String,
    },
    /// An address that others can reach, without saying that this is meant.
    #[error(
        "{addr} can be reached from other machines, and anyone who reaches it may read, write, delete and run code; \
         bind 127.0.0.1, or say --insecure if the network in front of it keeps strangers out"
    )]
    PublicBind {
        /// as configured
        addr: SocketAddr,
    },
}

// === impl Config ===

impl Config {
    /// The defaults on this machine.
    pub fn defaults() -> Self {
        Self::defaults_with(memory::quarter_of_the_machine(), available_threads())
    }

    fn defaults_with(quarter_of_memory: Option<u64>, threads: usize) -> Self {
        let most = 512 * MIB as u64;
        Self {
            data_dir: PathBuf::from("millstream-data"),
            memory: quarter_of_memory.unwrap_or(most).clamp(MEMORY_MIN, most),
            guest_threads: threads,
            disk_reserve: None,
            drain: Duration::from_secs(25),
            insecure: false,
            http: Http { addr: SocketAddr::from(([127, 0, 0, 1], 8080)), allowed_hosts: Vec::new() },
            kafka: Kafka {
                addr: Some(SocketAddr::from(([127, 0, 0, 1], 9092))),
                advertised: None,
                auto_create_topics: true,
                num_partitions: 1,
                accept_replication_factor: false,
                max_connections: KAFKA_CONNECTIONS_DEFAULT,
            },
            groups: Groups {
                initial_rebalance_delay: INITIAL_REBALANCE_DELAY,
                max_size: GROUP_MEMBERS_MAX,
                offsets_retention: OFFSETS_KEPT,
            },
            limits: Limits::defaults_with(quarter_of_memory),
            outbound: Outbound { ca_file: None },
            secrets: Secrets::default(),
            log: Log { level: "info".to_owned(), format: LogFormat::Auto },
            given: Vec::new(),
        }
    }

    /// What no single value shows.
    fn check(self) -> Result<Self, ConfigError> {
        let addresses = [Some(self.http.addr), self.kafka.addr];
        let public = addresses.into_iter().flatten().find(|addr| !addr.ip().is_loopback());
        if let Some(addr) = public.filter(|_| !self.insecure) {
            return Err(ConfigError::PublicBind { addr });
        }
        Ok(self)
    }

    /// One line for the log.
    pub fn summary(&self) -> String {
        let memory = format_bytes(self.memory);
        format!("data in {}, memory {memory}, {} guest threads", self.data_dir.display(), self.guest_threads)
    }
}

fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_memory_is_a_quarter_between_64_and_512_mib() {
        let memory = |quarter| Config::defaults_with(quarter, 1).memory >> 20;
        assert_eq!(memory(Some(16 << 30)), 512);
        assert_eq!(memory(Some(200 << 20)), 200);
        assert_eq!(memory(Some(1 << 20)), 64);
        assert_eq!(memory(None), 512);
    }

    #[test]
    fn a_public_address_wants_insecure() {
        let mut config = Config::defaults_with(None, 1);
        config.http.addr = SocketAddr::from(([0, 0, 0, 0], 8080));
        let refused = config.clone().check().unwrap_err().to_string();
        assert!(refused.starts_with("0.0.0.0:8080 can be reached from other machines"), "{refused}");
        config.insecure = true;
        assert!(config.clone().check().is_ok());

        config.insecure = false;
        config.http.addr.set_ip([127, 0, 0, 1].into());
        config.kafka.addr = Some(SocketAddr::from(([0, 0, 0, 0], 9092)));
        let refused = config.clone().check().unwrap_err().to_string();
        assert!(refused.starts_with("0.0.0.0:9092 can be reached from other machines"), "{refused}");
        config.kafka.addr = None;
        assert!(config.check().is_ok());
    }
}
