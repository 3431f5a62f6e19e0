//! What streaming code is made of, over the host's state and timers: typed rows behind a cache, windows, sessions, joins,
//! top lists, distinct counts and deduplication. Everything here is built on [`Store`](crate::state::Store) and
//! [`timers`](crate::timers) alone, so the same code runs in the server and natively, on the host in memory of
//! [`testing`](crate::testing).
//!
//! Each part works on a batch at a time: `load` brings in the rows that the batch touches with one read of many keys, the
//! code works on them in memory, `flush` writes what changed with one call. A part that is flushed in every call of
//! [`process`](crate::Processor::process) and of the timers loses nothing: rows, timers, outputs and positions are one commit.
//!
//! ```
//! use millstream_sdk::toolbox::Table;
//!
//! let mut counts: Table<u64, u64> = Table::open("counts");
//! let users = [7, 8, 7];
//! counts.load(users)?;
//! for user in users {
//!     *counts.row(&user).get_or_insert(0) += 1;
//! }
//! counts.flush();
//! assert_eq!(counts.get(&7), Some(&2));
//! # Ok::<(), millstream_sdk::Fault>(())
//! ```

mod codec;
mod dedup;
mod distinct;
mod expiry;
mod hash;
mod joins;
mod sessions;
mod table;
mod top;
mod windows;

pub use codec::{Key, Stored, decode, encode};
pub use dedup::Dedup;
pub use distinct::{Distinct, HyperLogLog};
pub use expiry::Expiry;
pub use hash::Map;
pub use joins::{Latest, Pair, Sides};
pub use sessions::{Session, Sessions};
pub use table::Table;
pub use top::Top;
pub use windows::{Merge, Window, Windows};
