//! RocksDB's column families: their names and their options. The numbers were measured on 16 KiB batches and on state of
//! ten million small rows; a reason stands where another value would look as good.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, Options};

use crate::model::TopicId;
use crate::model::limits::{KIB, MIB};

/// The families that always exist; each topic has one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// topics, log bounds, deployments, module versions, counters
    Meta,
    /// consumer groups and their offsets, those of open transactions too
    Groups,
    /// what makes produce requests repeatable, and transactions
    Producers,
    /// bytes of uploaded modules, in pieces
    Modules,
    /// the keyed memory of all tasks
    State,
}

/// All of them, in the order of [`Family`].
pub(super) const FIXED: [Family; 5] =
    [Family::Meta, Family::Groups, Family::Producers, Family::Modules, Family::State];

const TOPIC_PREFIX: &str = "topic-";

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Groups => "groups",
            Self::Producers => "producers",
            Self::Modules => "modules",
            Self::State => "state",
        }
    }
}

/// The family of a topic is named by its id: a topic created again under its old name has another.
pub(super) fn of_topic(id: TopicId) -> String {
    format!("{TOPIC_PREFIX}{id}")
}

/// Is this the name of a topic's family?
pub(super) fn is_topic(name: &str) -> bool {
    name.starts_with(TOPIC_PREFIX)
}

/// The options of the family with this name.
pub(super) fn options(name: &str, cache: &Cache) -> Options {
    match name {
        "modules" => blobs(cache),
        "state" => state(cache),
        name if is_topic(name) => blobs(cache),
        _ => small(cache),
    }
}

fn table(cache: &Cache, block_bytes: usize, bloom: bool) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(block_bytes);
    // Index and filter blocks count against the cache, so that many files do not escape the memory setting.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    if bloom {
        table.set_bloom_filter(10.0, false);
    }
    table
}

/// Large values written once: to the WAL and to a blob file. Only keys are compacted.
fn blobs(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(32 * MIB);
    options.set_max_write_buffer_number(4);
    // Batches come compressed, or are not worth it.
    options.set_compression_type(DBCompressionType::None);
    options.set_enable_blob_files(true);
    options.set_min_blob_size(512);
    options.set_blob_file_size(256 * MIB as u64);
    options.set_blob_compression_type(DBCompressionType::None);
    // Retention kills blob files as a whole, in the order of their age; collecting them would write everything twice. It
    // is switched on for topics that are compacted, whose files die in the middle; then the older half is rewritten.
    options.set_enable_blob_gc(false);
    options.set_blob_gc_age_cutoff(0.5);
    options.set_block_based_table_factory(&table(cache, 16 * KIB, false));
    options
}

/// Small rows read at random. The bloom filter makes a miss, which is what a new key is, ten times cheaper.
fn state(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(64 * MIB);
    options.set_max_write_buffer_number(4);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_block_based_table_factory(&table(cache, 4 * KIB, true));
    options
}

/// Few and small rows, many of them overwritten with every group of commits.
fn small(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(4 * MIB);
    options.set_block_based_table_factory(&table(cache, 4 * KIB, true));
    options
}
