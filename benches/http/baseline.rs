//! Parsing and encoding alone: what any server must do with an NDJSON body to make record batches of it, in one thread,
//! with no socket, no disk and no queue.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use millstream::model::batch::{BatchBuilder, Codec};
use millstream::model::partitioner::partition_of;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::process::{Meter, Spent};

/// A line, as far as the bench's own lines go.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    key: &'a str,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// Goes round the bodies for so long; records, and what they cost.
pub(crate) fn run(bodies: &[Vec<u8>], partitions: u32, length: Duration) -> Result<(u64, Spent)> {
    let mut records = 0;
    let begin = Instant::now();
    let meter = Meter::start(std::process::id())?;
    for body in bodies.iter().cycle() {
        records += one(body, partitions)?;
        if begin.elapsed() > length {
            break;
        }
    }
    Ok((records, meter.stop()?))
}

fn one(body: &[u8], partitions: u32) -> Result<u64> {
    let mut builders: Vec<BatchBuilder> = (0..partitions).map(|_| BatchBuilder::new()).collect();
    let mut records = 0;
    for line in body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let Line { key, value } = serde_json::from_slice(line)?;
        let partition = partition_of(key.as_bytes(), partitions);
        let builder = builders.get_mut(partition as usize).context("a partition")?;
        builder.push(1, Some(key.as_bytes()), Some(value.get().as_bytes()), []);
        records += 1;
    }
    for builder in builders {
        std::hint::black_box(builder.finish(Codec::None));
    }
    Ok(records)
}
