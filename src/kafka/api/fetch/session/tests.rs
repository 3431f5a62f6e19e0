//! What a client is asked for and told, request by request.

use super::*;
use crate::kafka::wire::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use crate::kafka::wire::{Records, Str};
use crate::runtime::clock::monotonic;

fn request(session_id: i32, session_epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
    let partition = |&(partition, fetch_offset): &(i32, i64)| FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 100,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: Str::from_static("t"),
        partitions: partitions.iter().map(partition).collect(),
        ..FetchTopic::default()
    };
    let topics = if partitions.is_empty() { Vec::new() } else { vec![topic] };
    FetchRequest { session_id, session_epoch, topics, ..FetchRequest::default() }
}

/// Results for the targets: (partition, high watermark, records?).
fn results(targets: &[Target], high_watermark: i64, with_records: &[i32]) -> Vec<(Target, PartitionData)> {
    let data = |target: &Target| PartitionData {
        partition_index: target.partition,
        high_watermark,
        log_start_offset: 0,
        records: Some(if with_records.contains(&target.partition) {
            Records::from(bytes::Bytes::from_static(b"batch"))
        } else {
            Records::new()
        }),
        ..PartitionData::default()
    };
    targets.iter().map(|target| (target.clone(), data(target))).collect()
}

fn partitions(results: &[(Target, PartitionData)]) -> Vec<i32> {
    results.iter().map(|(target, _)| target.partition).collect()
}

/// Sends a request and answers it; the session's id and the partitions in the answer.
fn exchange(
    sessions: &Sessions,
    request: &FetchRequest,
    high_watermark: i64,
    with_records: &[i32],
) -> Result<(i32, Vec<i32>), ErrorCode> {
    let now = monotonic();
    let (targets, mode) = sessions.begin(request, false, now)?;
    let mut results = results(&targets, high_watermark, with_records);
    let id = sessions.end(mode, false, &mut results, now);
    Ok((id, partitions(&results)))
}

#[test]
fn a_session_is_told_what_has_changed() {
    let sessions = Sessions::default();
    let (id, first) = exchange(&sessions, &request(0, 0, &[(0, 5), (1, 5), (2, 5)]), 5, &[]).unwrap();
    assert!(id > 0);
    assert_eq!(first, [0, 1, 2], "the first answer has everything");
    assert_eq!(exchange(&sessions, &request(id, 1, &[]), 5, &[]), Ok((id, vec![])));
    assert_eq!(
        exchange(&sessions, &request(id, 2, &[]), 6, &[1]),
        Ok((id, vec![0, 1, 2])),
        "a new high watermark"
    );
    assert_eq!(exchange(&sessions, &request(id, 3, &[(1, 6)]), 6, &[]), Ok((id, vec![])));
}

#[test]
fn a_partition_that_gave_records_goes_to_the_end() {
    let sessions = Sessions::default();
    let (id, _) = exchange(&sessions, &request(0, 0, &[(0, 0), (1, 0), (2, 0)]), 9, &[0]).unwrap();
    let (targets, _) = sessions.begin(&request(id, 1, &[]), false, monotonic()).unwrap();
    assert_eq!(targets.iter().map(|t| t.partition).collect::<Vec<_>>(), [1, 2, 0]);
}

#[test]
fn requests_change_what_is_read() {
    let sessions = Sessions::default();
    let (id, _) = exchange(&sessions, &request(0, 0, &[(0, 0), (1, 0)]), 0, &[]).unwrap();
    let forgotten =
        ForgottenTopic { topic: Str::from_static("t"), partitions: vec![0], ..ForgottenTopic::default() };
    let change = FetchRequest { forgotten_topics_data: vec![forgotten], ..request(id, 1, &[(1, 7), (4, 3)]) };
    let (targets, mode) = sessions.begin(&change, false, monotonic()).unwrap();
    assert_eq!(mode, Mode::Incremental { id, epoch: 1 });
    assert_eq!(targets.iter().map(|t| (t.partition, t.fetch_offset)).collect::<Vec<_>>(), [(1, 7), (4, 3)]);
}

#[test]
fn a_session_without_partitions_ends() {
    let sessions = Sessions::default();
    let (id, _) = exchange(&sessions, &request(0, 0, &[(0, 0)]), 0, &[]).unwrap();
    let forgotten =
        ForgottenTopic { topic: Str::from_static("t"), partitions: vec![0], ..ForgottenTopic::default() };
    let last = FetchRequest { forgotten_topics_data: vec![forgotten], ..request(id, 1, &[]) };
    assert_eq!(exchange(&sessions, &last, 0, &[]), Ok((NONE, vec![])));
    assert_eq!(exchange(&sessions, &request(id, 2, &[]), 0, &[]), Err(ErrorCode::FetchSessionIdNotFound));
}

#[test]
fn an_error_is_told_until_it_is_gone() {
    let sessions = Sessions::default();
    let (id, _) = exchange(&sessions, &request(0, 0, &[(0, 0)]), 4, &[]).unwrap();
    for epoch in 1..=2 {
        let (targets, mode) = sessions.begin(&request(id, epoch, &[]), false, monotonic()).unwrap();
        let mut failed = results(&targets, 4, &[]);
        failed[0].1.error_code = ErrorCode::UnknownTopicOrPartition.code();
        sessions.end(mode, false, &mut failed, monotonic());
        assert_eq!(partitions(&failed), [0]);
    }
    assert_eq!(exchange(&sessions, &request(id, 3, &[]), 4, &[]), Ok((id, vec![0])), "that it is gone");
    assert_eq!(exchange(&sessions, &request(id, 4, &[]), 4, &[]), Ok((id, vec![])));
}

#[test]
fn what_does_not_fit_a_session_is_refused_with_its_code() {
    let sessions = Sessions::default();
    let (id, _) = exchange(&sessions, &request(0, 0, &[(0, 0)]), 0, &[]).unwrap();
    let begin = |request: &FetchRequest, by_id| sessions.begin(request, by_id, monotonic()).map(drop);
    assert_eq!(begin(&request(id, 5, &[]), false), Err(ErrorCode::InvalidFetchSessionEpoch));
    assert_eq!(begin(&request(id, 1, &[]), true), Err(ErrorCode::FetchSessionTopicIdError));
    assert_eq!(begin(&request(id ^ 1, 1, &[]), false), Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(begin(&request(id, 1, &[]), false), Ok(()), "the session lives on");
    assert_eq!(begin(&request(id, 1, &[]), false), Err(ErrorCode::InvalidFetchSessionEpoch), "twice");
}

#[test]
fn a_new_full_fetch_ends_the_old_session_and_a_final_one_makes_none() {
    let sessions = Sessions::default();
    let (id, _) = exchange(&sessions, &request(0, 0, &[(0, 0)]), 0, &[]).unwrap();
    assert_eq!(exchange(&sessions, &request(id, -1, &[(0, 0)]), 0, &[]), Ok((NONE, vec![0])));
    assert_eq!(exchange(&sessions, &request(id, 1, &[]), 0, &[]), Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(sessions.0.lock().partitions, 0);
}

#[test]
fn a_full_cache_gives_up_only_sessions_that_nobody_used_for_a_while() {
    let sessions = Sessions::default();
    let start = monotonic();
    let create = |now| {
        let (targets, mode) = sessions.begin(&request(0, 0, &[(0, 0)]), false, now).unwrap();
        sessions.end(mode, false, &mut results(&targets, 0, &[]), now)
    };
    let oldest = create(start);
    for _ in 1..KAFKA_FETCH_SESSIONS_MAX {
        assert_ne!(create(start + Duration::from_secs(1)), NONE);
    }
    assert_eq!(create(start + Duration::from_secs(2)), NONE);
    assert_ne!(create(start + KEPT), NONE);
    let gone = sessions.begin(&request(oldest, 1, &[]), false, start + KEPT);
    assert_eq!(gone.map(drop), Err(ErrorCode::FetchSessionIdNotFound));
}

#[test]
fn epochs_begin_again_at_one() {
    assert_eq!((next_epoch(0), next_epoch(i32::MAX)), (1, 1));
}
