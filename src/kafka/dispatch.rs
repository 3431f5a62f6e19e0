//! The table of what is served: API → handler. `ApiVersions` answers exactly this table; every API that the codec can read
//! stands in it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::api;
use super::budget::Share;
use super::connection::{Close, Outcome, Peer, Work};
use super::door::{Door, RequestContext};
use super::frame::Incoming;
use super::outgoing::Answer;
use super::wire::{
    ApiKey, DecodeError, Preamble, RequestHeader, Response, Str, decode_beginning, encode_response,
};
use crate::runtime::clock::monotonic;

/// How a request shares its connection with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// with others of its kind, begun in their order
    Pipelined,
    /// alone
    Alone,
    /// alone, and of no use once its client has gone
    Waits,
}

/// The kind of a request that has not been read yet.
pub(super) fn kind(incoming: &Incoming) -> Kind {
    match Preamble::read(&incoming.bytes).ok().and_then(|p| ApiKey::try_from(p.request_api_key).ok()) {
        Some(ApiKey::Produce) => Kind::Pipelined,
        // A join or a sync goes on in its group without anybody who waits for it.
        Some(ApiKey::Fetch | ApiKey::JoinGroup | ApiKey::SyncGroup) => Kind::Waits,
        _ => Kind::Alone,
    }
}

/// A response, with the room that it takes.
pub(super) struct Reply<R> {
    /// `None`: the client wants none
    pub(super) response: Option<R>,
    /// of the budget for answers
    pub(super) share: Share,
}

impl<R> Reply<R> {
    /// Without room taken for it.
    pub(super) fn of(response: R) -> Self {
        Self { response: Some(response), share: Share::default() }
    }

    /// The client wants none.
    pub(super) fn none() -> Self {
        Self { response: None, share: Share::default() }
    }
}

/// What a handler may give.
trait IntoReply {
    type Response: Response;

    fn into_reply(self) -> Reply<Self::Response>;
}

impl<R: Response> IntoReply for R {
    type Response = R;

    fn into_reply(self) -> Reply<R> {
        Reply::of(self)
    }
}

impl<R: Response> IntoReply for Reply<R> {
    type Response = R;

    fn into_reply(self) -> Self {
        self
    }
}

/// A request that has been read as far as its body.
struct Call {
    door: Door,
    ctx: RequestContext,
    started: Instant,
    /// of the budget for requests; the body lies in it
    share: Share,
}

/// The table. A handler is `async fn handle(&Door, &RequestContext, Request) -> Result<Response, Close>`, and may answer with
/// a [`Reply`]. A handler in the first row is no `async fn`: what it does before it returns its future happens in the
/// order of arrival.
macro_rules! table {
    (begun { $first:ident => $first_module:ident, } $($api:ident => $module:ident,)*) => {
        /// What is served, in order of the numbers.
        pub(super) const SERVED: &[ApiKey] = &[ApiKey::$first, $(ApiKey::$api,)*];

        /// Reads the body and begins the work.
        fn start(mut call: Call, body: Bytes) -> Result<Work, DecodeError> {
            match call.ctx.api {
                ApiKey::$first => {
                    let request = decode_beginning(body, call.ctx.version)?;
                    let share = std::mem::take(&mut call.share);
                    let replying = api::$first_module::handle(&call.door, &call.ctx, request, share);
                    Ok(Box::pin(async move { call.end(replying.await).await }))
                }
                $(ApiKey::$api => {
                    let request = decode_beginning(body, call.ctx.version)?;
                    Ok(Box::pin(async move {
                        let reply = api::$module::handle(&call.door, &call.ctx, request).await;
                        call.end(reply).await
                    }))
                })*
            }
        }
    };
}

table! {
    begun { Produce => produce, }
    Fetch => fetch,
    ListOffsets => list_offsets,
    Metadata => metadata,
    OffsetCommit => offset_commit,
    OffsetFetch => offset_fetch,
    FindCoordinator => find_coordinator,
    JoinGroup => join_group,
    Heartbeat => heartbeat,
    LeaveGroup => leave_group,
    SyncGroup => sync_group,
    DescribeGroups => describe_groups,
    ListGroups => list_groups,
    ApiVersions => api_versions,
    CreateTopics => create_topics,
    DeleteTopics => delete_topics,
    DeleteRecords => delete_records,
    InitProducerId => init_producer_id,
    OffsetForLeaderEpoch => offset_for_leader_epoch,
    AddPartitionsToTxn => add_partitions_to_txn,
    AddOffsetsToTxn => add_offsets_to_txn,
    EndTxn => end_txn,
    WriteTxnMarkers => write_txn_markers,
    TxnOffsetCommit => txn_offset_commit,
    DescribeConfigs => describe_configs,
    AlterConfigs => alter_configs,
    AlterReplicaLogDirs => alter_replica_log_dirs,
    DescribeLogDirs => describe_log_dirs,
    CreatePartitions => create_partitions,
    DeleteGroups => delete_groups,
    ElectLeaders => elect_leaders,
    IncrementalAlterConfigs => incremental_alter_configs,
    AlterPartitionReassignments => alter_partition_reassignments,
    ListPartitionReassignments => list_partition_reassignments,
    OffsetDelete => offset_delete,
    DescribeQuorum => describe_quorum,
    DescribeCluster => describe_cluster,
    DescribeProducers => describe_producers,
    DescribeTransactions => describe_transactions,
    ListTransactions => list_transactions,
    ConsumerGroupHeartbeat => consumer_group_heartbeat,
    ConsumerGroupDescribe => consumer_group_describe,
    ListConfigResources => list_config_resources,
    DescribeTopicPartitions => describe_topic_partitions,
}

/// Begins a request.
pub(super) fn begin(door: &Door, peer: &Arc<Peer>, incoming: Incoming) -> Work {
    let started = monotonic();
    let Incoming { bytes, share } = incoming;
    let (header, body) = match RequestHeader::read(bytes.clone()) {
        Ok(read) => read,
        Err(DecodeError::Version { api: ApiKey::ApiVersions, .. }) => return other_version(&bytes),
        Err(error) => return closing(error.to_string()),
    };
    let ctx = RequestContext {
        api: header.api,
        version: header.version,
        correlation_id: header.correlation_id,
        // A copy: a slice would share the frame until the answer, and the writer could not use its records in place.
        client_id: header.client_id.map(|id| Str::from(id.as_str())),
        peer: peer.clone(),
    };
    let (api, version) = (ctx.api, ctx.version);
    let call = Call { door: door.clone(), ctx, started, share };
    start(call, body).unwrap_or_else(|error| closing(format!("{} {version}: {error}", api.name())))
}

/// A client that speaks a newer `ApiVersions` is told, in the first version of it, which ones there are here.
fn other_version(bytes: &Bytes) -> Work {
    let correlation_id = Preamble::read(bytes).map_or(0, |preamble| preamble.correlation_id);
    let outcome = encoded(correlation_id, 0, &api::api_versions::unsupported(), Share::default());
    Box::pin(std::future::ready(outcome))
}

fn closing(cause: String) -> Work {
    Box::pin(std::future::ready(Outcome::Close(Close(cause))))
}

fn encoded<R: Response>(correlation_id: i32, version: i16, response: &R, share: Share) -> Outcome {
    match encode_response(correlation_id, version, response) {
        Ok(frame) => Outcome::Answer(Answer { frame, share }),
        Err(error) => Outcome::Close(Close(format!("an answer cannot be written: {error}"))),
    }
}

// === impl Call ===

impl Call {
    async fn end(self, reply: Result<impl IntoReply, Close>) -> Outcome {
        self.door.meter().answered(self.ctx.api, self.started.elapsed());
        match reply.map(IntoReply::into_reply) {
            Ok(Reply { response: Some(response), share }) => {
                match encoded(self.ctx.correlation_id, self.ctx.version, &response, share) {
                    // A large answer that did not know its size beforehand.
                    Outcome::Answer(Answer { frame, share }) if share.is_empty() => {
                        drop(response);
                        let share = self.door.room(frame.len()).await;
                        share.map_or_else(Outcome::Close, |share| Outcome::Answer(Answer { frame, share }))
                    }
                    outcome => outcome,
                }
            }
            Ok(Reply { response: None, .. }) => Outcome::Silent,
            Err(close) => Outcome::Close(close),
        }
    }
}
