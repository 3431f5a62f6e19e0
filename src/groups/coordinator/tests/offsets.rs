//! Committed offsets over the storage.

use super::*;
use crate::groups::read_only::{ReadOnlyGroup, ReadOnlyGroups};

#[tokio::test]
async fn offsets_come_back_as_committed_also_after_a_crash() {
    let node = Node::new().await;
    let full = NewOffset { leader_epoch: 7, metadata: "é\0\u{1F600}".into(), ..new_offset("orders", 3, 42) };
    let low = new_offset("clicks", 0, i64::MAX);
    assert_eq!(node.commit("g", nobody(), &[full, low]).await, Ok(vec![Ok(()), Ok(())]));
    let check = |node: &Node| {
        let topics = Some(vec![("orders".into(), vec![3, 4, -1]), ("nowhere".into(), vec![0])]);
        let request = FetchOffsets { group: id("g"), member: None, topics, require_stable: true };
        let fetched = node.groups.fetch_offsets(&request).unwrap();
        let committed = Committed {
            offset: 42,
            leader_epoch: 7,
            committed_ms: START,
            expires_ms: None,
            metadata: "é\0\u{1F600}".into(),
        };
        let at = |partition, committed| FetchedOffset { partition, committed: Ok(committed) };
        let orders = vec![at(3, Some(committed)), at(4, None), at(-1, None)];
        let expected = [
            FetchedTopic { topic: "orders".into(), partitions: orders },
            FetchedTopic { topic: "nowhere".into(), partitions: vec![at(0, None)] },
        ];
        assert_eq!(fetched, expected);
        let all = [("clicks".to_owned(), 0, Ok(i64::MAX)), ("orders".to_owned(), 3, Ok(42))];
        assert_eq!(node.fetch("g", false), all);
    };
    check(&node);
    check(&node.restart().await);
}

#[tokio::test]
async fn members_join_and_commit_while_the_disk_has_its_reserve_left() {
    let node = Node::new().await;
    node.storage.set_disk_reserve(u64::MAX);
    assert!(node.storage.create_topic(topic("other")).await.is_err(), "what adds is refused");
    let joined = node.alone("g", consumer()).await;
    let offset = [new_offset("orders", 0, 5)];
    assert_eq!(node.commit("g", member(&joined.member_id, 1), &offset).await, Ok(vec![Ok(())]));
    let node = node.restart().await;
    assert_eq!(node.orders("g"), [(0, 5)]);
}

#[tokio::test]
async fn metadata_are_kept_up_to_the_length_that_kafka_allows() {
    let node = Node::new().await;
    let with = |metadata: String| NewOffset { metadata: metadata.into(), ..new_offset("orders", 0, 1) };
    let offsets = [with("é".repeat(4_096)), with("a".repeat(4_097)), with("\u{1F600}".repeat(2_049))];
    let results = node.commit("g", nobody(), &offsets).await.unwrap();
    let too_long = |length| Err(GroupError::MetadataTooLong { length, limit: 4_096 });
    assert_eq!(results, [Ok(()), too_long(4_097), too_long(4_098)]);
}

#[tokio::test]
async fn members_commit_theirs_and_nobody_else_does() {
    let node = Node::new().await;
    let joined = node.alone("g", consumer()).await;
    let offset = [new_offset("orders", 0, 5)];
    assert_eq!(node.commit("g", member(&joined.member_id, 1), &offset).await, Ok(vec![Ok(())]));
    let unknown = |id: &str| GroupError::UnknownMember { member_id: id.into() };
    assert_eq!(node.commit("g", nobody(), &offset).await, Err(unknown("")));
    assert_eq!(node.commit("g", member("other", 1), &offset).await, Err(unknown("other")));
    let past = GroupError::IllegalGeneration { asked: 0, current: 1 };
    assert_eq!(node.commit("g", member(&joined.member_id, 0), &offset).await, Err(past));
    let missing = GroupError::NotFound { group: id("h") };
    assert_eq!(node.commit("h", member("m", 3), &offset).await, Err(missing));
}

#[tokio::test]
async fn the_memory_holds_what_the_disk_does_after_many_commits_at_once() {
    let node = Node::new().await;
    let mut commits = Vec::new();
    for round in 0..200 {
        let offsets: Vec<_> = (0..4).map(|partition| new_offset("orders", partition, round)).collect();
        let request = CommitOffsets { group: id("g"), who: nobody(), kept_ms: None, offsets };
        let groups = node.groups.clone();
        commits.push(tasks::spawn("test", async move { groups.commit_offsets(request).await }));
    }
    for commit in commits {
        assert_eq!(commit.await.unwrap(), Ok(vec![Ok(()); 4]));
    }
    let before = node.fetch("g", true);
    assert_eq!(before.len(), 4);
    assert_eq!(node.restart().await.fetch("g", true), before);
}

#[tokio::test]
async fn a_commit_whose_caller_has_gone_is_whole_in_memory_and_on_disk() {
    let node = Node::new().await;
    let request = |offset| CommitOffsets {
        group: id("g"),
        who: nobody(),
        kept_ms: None,
        offsets: vec![new_offset("orders", 0, offset)],
    };
    {
        let mut abandoned = Box::pin(node.groups.commit_offsets(request(1)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(abandoned.as_mut().poll(&mut context).is_pending());
    }
    node.put("other", "orders", 0, 1).await;
    let before = node.orders("g");
    let node = node.restart().await;
    assert_eq!(node.orders("g"), before);
}

#[tokio::test]
async fn an_operator_resets_offsets_of_a_group_without_members_or_takes_them_out_first() {
    let node = Node::new().await;
    let joined = node.alone("g", consumer()).await;
    let offsets = vec![new_offset("orders", 0, 100)];
    let refused = node.groups.reset_offsets(id("g"), offsets.clone(), false).await;
    assert_eq!(refused, Err(GroupError::NotEmpty { members: 1 }));
    assert_eq!(node.groups.reset_offsets(id("g"), offsets, true).await, Ok(vec![Ok(())]));
    assert_eq!((node.state("g"), node.orders("g")), ("Empty", vec![(0, 100)]));
    let late = node.commit("g", member(&joined.member_id, 1), &[new_offset("orders", 0, 5)]).await;
    assert!(matches!(late, Err(GroupError::UnknownMember { .. })), "{late:?}");
}

/// Shows the position of one deployment.
struct Shown;

impl ReadOnlyGroups for Shown {
    fn list(&self) -> Vec<ReadOnlyGroup> {
        self.find("shown").into_iter().collect()
    }

    fn find(&self, id: &str) -> Option<ReadOnlyGroup> {
        (id == "shown").then(|| ReadOnlyGroup { id: id.into(), deployment: "totals".into() })
    }

    fn offsets(&self, _id: &str) -> Vec<(TopicName, Partition, Committed)> {
        let committed =
            Committed { offset: 9, leader_epoch: -1, committed_ms: 1, expires_ms: None, metadata: "".into() };
        vec![(topic_name("orders"), 0, committed)]
    }
}

#[tokio::test]
async fn a_position_is_shown_as_a_group_that_refuses_to_be_changed() {
    let node = Node::new().await;
    node.groups.show(Arc::new(Shown));
    assert_eq!(node.orders("shown"), [(0, 9)]);
    assert_eq!(node.state("shown"), "Empty");
    let listed = node.groups.list();
    assert_eq!(listed[0].deployment.as_deref(), Some("totals"));

    let refused = GroupError::ReadOnly { group: id("shown"), deployment: "totals".into() };
    let offset = new_offset("orders", 0, 0);
    assert_eq!(node.commit("shown", nobody(), std::slice::from_ref(&offset)).await, Err(refused.clone()));
    assert_eq!(node.groups.reset_offsets(id("shown"), vec![offset], true).await, Err(refused.clone()));
    assert_eq!(node.join("shown", consumer()).await.unwrap_err().error, refused);
    assert_eq!(node.groups.delete_groups(vec![id("shown")]).await, [Err(refused.clone())]);
    assert_eq!(
        refused.to_string(),
        "group `shown` is the position of deployment `totals`, which moves by rewind alone"
    );
}
