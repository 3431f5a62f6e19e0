//! `DescribeLogDirs` (35): how large partitions are, and the disk.
//!
//! Versions: 1-4.
//!
//! Behaviour: there is one folder. A partition's size is that of the batches it keeps; what they take on disk differs a
//! little, since topics share files. Partitions that are asked for and are not there are left out, as in Kafka.
//!
//! What each version added: 3 an error code for the whole; 4 the disk's size and free bytes.
//!
//! Facts: `ReplicaManager.describeLogDirs`, KIP-113, KIP-827.

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::wire::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::broker::TopicHandle;
use crate::storage::Log;

pub(in crate::kafka) async fn handle(
    door: &Door,
    _: &RequestContext,
    request: DescribeLogDirsRequest,
) -> Result<DescribeLogDirsResponse, Close> {
    let topics = match request.topics {
        None => door.broker().topics().iter().map(|t| describe(t, t.logs().iter())).collect(),
        Some(named) => {
            let known = |topic: &DescribableLogDirTopic| {
                let handle = door.broker().topic(&topic.topic).ok()?;
                // Each once, however often it is named.
                let asked: BTreeSet<_> = topic.partitions.iter().collect();
                let logs = asked.into_iter().filter_map(|p| handle.log(u32::try_from(*p).ok()?));
                Some(describe(&handle, logs))
            };
            named.iter().filter_map(known).collect()
        }
    };
    let disk = door.broker().storage().disk();
    let bytes = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let result = DescribeLogDirsResult {
        log_dir: door.broker().storage().directory().display().to_string().into(),
        topics,
        total_bytes: bytes(disk.total),
        usable_bytes: bytes(disk.free),
        ..Default::default()
    };
    Ok(DescribeLogDirsResponse { results: vec![result], ..Default::default() })
}

fn describe<'a>(topic: &TopicHandle, logs: impl Iterator<Item = &'a Arc<Log>>) -> DescribeLogDirsTopic {
    let partition = |log: &'a Arc<Log>| DescribeLogDirsPartition {
        partition_index: i32::try_from(log.partition()).unwrap_or(i32::MAX),
        partition_size: i64::try_from(log.bytes()).unwrap_or(i64::MAX),
        offset_lag: 0,
        is_future_key: false,
    };
    DescribeLogDirsTopic { name: topic.name().as_str().into(), partitions: logs.map(partition).collect() }
}
