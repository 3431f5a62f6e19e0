//! Members over the storage and the clock.

use super::*;
use crate::groups::machine::Leaving;

#[tokio::test]
async fn members_join_sync_and_beat() {
    let node = Node::with(Options { rules: Options::default().rules, ..options() }).await;
    let delay = node.groups.options().rules.initial_delay_ms;
    let pass = async {
        while node.state("g") != "CompletingRebalance" {
            node.hand.advance_ms(delay / 4);
            tokio::task::yield_now().await;
        }
    };
    let (first, second, ()) = tokio::join!(node.join("g", consumer()), node.join("g", consumer()), pass);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.leader.clone(), first.members.len()), (first.member_id.clone(), 2));
    assert!(first.member_id.starts_with("app-") && second.members.is_empty());

    let parts = [(&*first.member_id, "one"), (&*second.member_id, "two")];
    let (follower, leader) =
        tokio::join!(node.sync("g", &second.member_id, 1, &[]), node.sync("g", &first.member_id, 1, &parts),);
    assert_eq!((leader.unwrap().assignment, follower.unwrap().assignment), ("one".into(), "two".into()));
    assert_eq!(node.heartbeat("g", &second.member_id, 1), Ok(()));
    assert_eq!(node.state("g"), "Stable");
}

#[tokio::test]
async fn members_come_back_with_their_generation_after_a_crash() {
    let node = Node::new().await;
    let joined = node.alone("g", consumer()).await;
    let node = node.restart().await;
    assert_eq!(node.heartbeat("g", &joined.member_id, 1), Ok(()));
    let synced = node.sync("g", &joined.member_id, 1, &[]).await.unwrap();
    assert_eq!(synced.assignment, Bytes::from("all"));
    node.hand.advance_ms(SESSION);
    node.until(|node| node.state("g") == "Empty").await;
}

#[tokio::test]
async fn a_session_ends_when_its_time_comes_and_not_when_the_first_deadline_was() {
    let node = Node::new().await;
    let joined = node.alone("g", consumer()).await;
    let other = node.alone("other", consumer()).await;
    node.hand.advance_ms(SESSION - 1);
    assert_eq!(node.heartbeat("g", &joined.member_id, 1), Ok(()));
    node.hand.advance_ms(1);
    node.until(|node| node.state("other") == "Empty").await;
    assert_eq!(node.state("g"), "Stable");
    assert!(node.heartbeat("other", &other.member_id, 1).is_err());
    node.hand.advance_ms(SESSION - 1);
    node.until(|node| node.state("g") == "Empty").await;
}

#[tokio::test]
async fn an_empty_group_is_stored_as_such() {
    let node = Node::new().await;
    let joined = node.alone("g", consumer()).await;
    let leaving = Leaving { member_id: joined.member_id.clone(), instance_id: None };
    assert_eq!(node.groups.leave(&id("g"), &[leaving]), Ok(vec![Ok(())]));
    // The rows of groups are written in order, so the next group's is behind this one's.
    node.alone("next", consumer()).await;
    let node = node.restart().await;
    let described = node.groups.describe(&id("g")).unwrap().description;
    assert_eq!((described.state.name(), described.generation), ("Empty", 2));
    assert_eq!(&*described.protocol_type, "consumer");
}

#[tokio::test]
async fn a_static_member_takes_its_place_again_after_a_crash() {
    let node = Node::new().await;
    let instance = Join { instance_id: Some("i".into()), ..consumer() };
    let before = node.alone("g", instance.clone()).await;
    let node = node.restart().await;
    let back = node.join("g", Join { may_skip_assignment: true, ..instance }).await.unwrap();
    assert_eq!((back.generation, back.skip_assignment), (1, true));
    assert!(back.member_id.starts_with("i-") && back.member_id != before.member_id);
    let who = OffsetCommitter { instance_id: Some("i".into()), ..member(&before.member_id, 1) };
    let fenced = GroupError::FencedInstance { instance_id: "i".into() };
    assert_eq!(node.commit("g", who, &[new_offset("orders", 0, 1)]).await, Err(fenced));
}

#[tokio::test]
async fn what_cannot_be_a_member_is_refused_at_the_door() {
    let node = Node::new().await;
    let refused = |joined: Result<Joined, JoinRefused>| joined.unwrap_err().error;
    assert_eq!(refused(node.join("", consumer()).await), GroupError::EmptyId);
    for asked in [5_999, 1_800_001] {
        let join = Join { session_timeout_ms: asked, ..consumer() };
        let expected = GroupError::SessionTimeout { asked, min: 6_000, max: 1_800_000 };
        assert_eq!(refused(node.join("g", join).await), expected);
    }
    let stranger = Join { member_id: "stranger".into(), ..consumer() };
    let unknown = GroupError::UnknownMember { member_id: "stranger".into() };
    assert_eq!(refused(node.join("g", stranger).await), unknown);
    assert_eq!(node.heartbeat("g", "stranger", 1), Err(unknown.clone()));
    assert_eq!(node.sync("g", "stranger", 1, &[]).await, Err(unknown.clone()));
    let leaving = Leaving { member_id: "stranger".into(), instance_id: None };
    assert_eq!(node.groups.leave(&id("g"), &[leaving]), Ok(vec![Err(unknown)]));
    assert_eq!(node.groups.list(), []);
}

#[tokio::test]
async fn there_are_no_more_groups_and_no_more_bytes_than_allowed() {
    let node = Node::with(Options { groups_max: 1, bytes_max: 10_000, ..options() }).await;
    node.alone("g", consumer()).await;
    let refused = node.join("h", consumer()).await.unwrap_err().error;
    assert_eq!(refused, GroupError::TooMany { limit: 1 });
    let offset = new_offset("orders", 0, 1);
    assert_eq!(node.commit("h", nobody(), &[offset]).await, Err(GroupError::TooMany { limit: 1 }));

    let metadata = Bytes::from(vec![0; 10_000]);
    let large = Join { protocols: vec![Protocol { name: "range".into(), metadata }], ..consumer() };
    let refused = node.join("g", large).await.unwrap_err().error;
    assert_eq!(refused, GroupError::OutOfRoom { limit: 10_000 });
}

#[tokio::test]
async fn memory_is_given_back_when_members_go() {
    let node = Node::new().await;
    node.alone("g", consumer()).await;
    let bytes = || node.groups.inner().bytes.load(Ordering::Relaxed);
    let before = bytes();
    let joined = node.alone("h", consumer()).await;
    assert!(bytes() > before);
    let leaving = Leaving { member_id: joined.member_id, instance_id: None };
    let _ = node.groups.leave(&id("h"), &[leaving]);
    assert_eq!(node.groups.delete_groups(vec![id("h")]).await, [Ok(())]);
    assert_eq!(bytes(), before);
}

#[tokio::test]
async fn whoever_waits_hears_that_the_groups_are_closed() {
    let node = Node::with(Options { rules: Options::default().rules, ..options() }).await;
    let groups = node.groups.clone();
    let mut waiting = Box::pin(async move { groups.join(&id("g"), consumer()).await });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    // The future holds a handle itself; the tasks' owner is closed as it is at the end.
    node.groups.close();
    assert_eq!(waiting.await.unwrap_err().error, GroupError::Closed);
}

#[tokio::test]
async fn groups_are_listed_in_the_order_of_their_names() {
    let node = Node::new().await;
    node.alone("b", consumer()).await;
    node.put("a", "orders", 0, 1).await;
    let lines: Vec<_> = node
        .groups
        .list()
        .into_iter()
        .map(|l| (l.id.to_string(), l.kind.name(), l.state, l.protocol_type.to_string(), l.members))
        .collect();
    let expected = [("a", "classic", "Empty", "", 0), ("b", "classic", "Stable", "consumer", 1)];
    assert_eq!(lines, expected.map(|(a, b, c, d, e)| (a.to_owned(), b, c, d.to_owned(), e)));
}
