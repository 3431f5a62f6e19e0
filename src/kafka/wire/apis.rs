//! The table of APIs: number, versions served, request. The one place to change when a version or an API is added.
//!
//! What is served may be less than what the codec knows: `AddPartitionsToTxn` from 4 is for brokers, `ListTransactions` 2
//! filters by regular expressions, which are not looked at. `Produce` 0 to 2 are read as far as an error can be answered;
//! they hold records in a format that is gone, and librdkafka looks for them in `ApiVersions`.
//! Whether an API is advertised is decided where it is dispatched.

/// Calls the macro `$with` with the table.
macro_rules! apis {
    ($with:ident) => {
        $with! {
            Produce = 0, 0-13, produce::ProduceRequest;
            Fetch = 1, 4-17, fetch::FetchRequest;
            ListOffsets = 2, 1-11, list_offsets::ListOffsetsRequest;
            Metadata = 3, 0-13, metadata::MetadataRequest;
            OffsetCommit = 8, 2-10, offset_commit::OffsetCommitRequest;
            OffsetFetch = 9, 1-10, offset_fetch::OffsetFetchRequest;
            FindCoordinator = 10, 0-6, find_coordinator::FindCoordinatorRequest;
            JoinGroup = 11, 0-9, join_group::JoinGroupRequest;
            Heartbeat = 12, 0-4, heartbeat::HeartbeatRequest;
            LeaveGroup = 13, 0-5, leave_group::LeaveGroupRequest;
            SyncGroup = 14, 0-5, sync_group::SyncGroupRequest;
            DescribeGroups = 15, 0-6, describe_groups::DescribeGroupsRequest;
            ListGroups = 16, 0-5, list_groups::ListGroupsRequest;
            ApiVersions = 18, 0-4, api_versions::ApiVersionsRequest;
            CreateTopics = 19, 2-7, create_topics::CreateTopicsRequest;
            DeleteTopics = 20, 1-6, delete_topics::DeleteTopicsRequest;
            DeleteRecords = 21, 0-2, delete_records::DeleteRecordsRequest;
            InitProducerId = 22, 0-5, init_producer_id::InitProducerIdRequest;
            OffsetForLeaderEpoch = 23, 2-4, offset_for_leader_epoch::OffsetForLeaderEpochRequest;
            AddPartitionsToTxn = 24, 0-3, add_partitions_to_txn::AddPartitionsToTxnRequest;
            AddOffsetsToTxn = 25, 0-4, add_offsets_to_txn::AddOffsetsToTxnRequest;
            EndTxn = 26, 0-5, end_txn::EndTxnRequest;
            WriteTxnMarkers = 27, 1-2, write_txn_markers::WriteTxnMarkersRequest;
            TxnOffsetCommit = 28, 0-5, txn_offset_commit::TxnOffsetCommitRequest;
            DescribeConfigs = 32, 1-4, describe_configs::DescribeConfigsRequest;
            AlterConfigs = 33, 0-2, alter_configs::AlterConfigsRequest;
            AlterReplicaLogDirs = 34, 1-2, alter_replica_log_dirs::AlterReplicaLogDirsRequest;
            DescribeLogDirs = 35, 1-4, describe_log_dirs::DescribeLogDirsRequest;
            CreatePartitions = 37, 0-3, create_partitions::CreatePartitionsRequest;
            DeleteGroups = 42, 0-2, delete_groups::DeleteGroupsRequest;
            ElectLeaders = 43, 0-2, elect_leaders::ElectLeadersRequest;
            IncrementalAlterConfigs = 44, 0-1, incremental_alter_configs::IncrementalAlterConfigsRequest;
            AlterPartitionReassignments = 45, 0-1, alter_partition_reassignments::AlterPartitionReassignmentsRequest;
            ListPartitionReassignments = 46, 0-0, list_partition_reassignments::ListPartitionReassignmentsRequest;
            OffsetDelete = 47, 0-0, offset_delete::OffsetDeleteRequest;
            DescribeQuorum = 55, 0-2, describe_quorum::DescribeQuorumRequest;
            DescribeCluster = 60, 0-2, describe_cluster::DescribeClusterRequest;
            DescribeProducers = 61, 0-0, describe_producers::DescribeProducersRequest;
            DescribeTransactions = 65, 0-0, describe_transactions::DescribeTransactionsRequest;
            ListTransactions = 66, 0-1, list_transactions::ListTransactionsRequest;
            ConsumerGroupHeartbeat = 68, 0-1, consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
            ConsumerGroupDescribe = 69, 0-1, consumer_group_describe::ConsumerGroupDescribeRequest;
            ListConfigResources = 74, 0-1, list_config_resources::ListConfigResourcesRequest;
            DescribeTopicPartitions = 75, 0-0, describe_topic_partitions::DescribeTopicPartitionsRequest;
        }
    };
}

pub(in crate::kafka::wire) use apis;
