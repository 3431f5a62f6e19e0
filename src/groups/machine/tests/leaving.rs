//! Leaving, commits of offsets, deletion, and how a group is described.

use super::*;

fn committer(member: &str, generation: i32) -> OffsetCommitter {
    OffsetCommitter { member_id: member.into(), instance_id: None, generation }
}

#[test]
fn leaving_is_answered_one_by_one_and_rebalances_once() {
    let mut sim = Sim::stable(3);
    let by_id = |id: &str| Leaving { member_id: id.into(), instance_id: None };
    let results = sim.group.handle_leave(&[by_id("m2"), by_id("nobody"), by_id("m3")], at(sim.now_ms));
    assert_eq!(results, Ok(vec![Ok(()), Err(unknown("nobody")), Ok(())]));
    assert_eq!((sim.group.state(), sim.group.members()), (State::PreparingRebalance, 1));
}

#[test]
fn an_operator_removes_a_static_member_by_its_instance() {
    let mut sim = Sim::new();
    sim.join(instance("a"));
    sim.assign_all();
    let by_instance = |name: &str| Leaving { member_id: "".into(), instance_id: Some(name.into()) };
    let results = sim.group.handle_leave(&[by_instance("other"), by_instance("a")], at(sim.now_ms));
    assert_eq!(results, Ok(vec![Err(unknown("")), Ok(())]));
    assert_eq!(sim.group.state(), State::Empty);
}

#[test]
fn an_instance_under_another_id_does_not_leave() {
    let mut sim = Sim::new();
    sim.join(instance("a"));
    let leaving = Leaving { member_id: "m9".into(), instance_id: Some("a".into()) };
    let fenced = GroupError::FencedInstance { instance_id: "a".into() };
    assert_eq!(sim.group.handle_leave(&[leaving], at(0)), Ok(vec![Err(fenced)]));
}

#[test]
fn an_id_that_was_only_asked_for_can_be_given_back() {
    let mut sim = Sim::new();
    sim.join(Join { needs_known_id: true, ..new_member() });
    assert_eq!(sim.leave("m1"), Ok(()));
    assert!(sim.group.is_deserted());
}

#[test]
fn a_join_that_waits_hears_that_its_member_has_left() {
    let mut sim = Sim::stable(2);
    let waiting = sim.join(known("m1"));
    assert_eq!(sim.leave("m1"), Ok(()));
    assert_eq!(sim.joins[&waiting], Err(JoinRefused { member_id: "".into(), error: unknown("m1") }));
}

#[test]
fn a_rebalance_completes_when_the_last_one_that_is_missing_leaves() {
    let mut sim = Sim::stable(2);
    let first = sim.join(known("m1"));
    assert_eq!(sim.leave("m2"), Ok(()));
    assert_eq!(sim.joined(first).members.len(), 1);
}

#[test]
fn an_empty_group_takes_offsets_from_outside_and_one_with_members_only_theirs() {
    let sim = Sim::new();
    assert_eq!(sim.group.check_commit(&committer("", -1), false), Ok(()));
    assert_eq!(sim.group.check_commit(&committer("m1", 1), false), Err(unknown("m1")));
    let sim = Sim::stable(1);
    assert_eq!(sim.group.check_commit(&committer("", -1), false), Err(unknown("")));
    assert_eq!(sim.group.check_commit(&committer("m1", 1), false), Ok(()));
    let past = GroupError::IllegalGeneration { asked: 0, current: 1 };
    assert_eq!(sim.group.check_commit(&committer("m1", 0), false), Err(past));
}

#[test]
fn offsets_are_taken_while_members_join_and_not_while_the_leader_assigns() {
    let mut sim = Sim::stable(2);
    sim.join(known("m1"));
    assert_eq!(sim.group.check_commit(&committer("m2", 1), false), Ok(()));
    sim.join(known("m2"));
    assert_eq!(sim.group.check_commit(&committer("m2", 2), false), Err(GroupError::Rebalancing));
    assert_eq!(sim.group.check_commit(&committer("m2", 2), true), Ok(()));
    assert_eq!(sim.group.check_commit(&committer("", -1), true), Ok(()));
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut sim = Sim::stable(1);
    for _ in 0..3 {
        sim.advance(SESSION - 1);
        assert_eq!(sim.group.handle_commit(&committer("m1", 1), at(sim.now_ms)), Ok(()));
    }
    assert_eq!(sim.group.state(), State::Stable);
}

#[test]
fn only_an_empty_group_is_deleted_and_then_nobody_joins() {
    let mut sim = Sim::stable(2);
    assert_eq!(sim.group.handle_delete(at(0)), Err(GroupError::NotEmpty { members: 2 }));
    let (_, _) = (sim.leave("m1"), sim.leave("m2"));
    assert_eq!(sim.group.handle_delete(at(0)), Ok(()));
    let late = sim.join(new_member());
    assert_eq!(sim.refused(late), GroupError::Deleting);
    assert_eq!(sim.heartbeat("m1", 1), Err(GroupError::Deleting));
    assert_eq!(sim.group.handle_delete(at(0)), Err(GroupError::Deleting));
    sim.group.handle_revive();
    assert_eq!(sim.group.state(), State::Empty);
}

#[test]
fn an_operator_can_have_the_group_for_himself() {
    let mut sim = Sim::stable(2);
    let waiting = sim.join(known("m1"));
    sim.join(Join { needs_known_id: true, ..new_member() });
    sim.group.handle_expel(at(sim.now_ms));
    sim.settle();
    assert_eq!(sim.refused(waiting), unknown("m1"));
    assert_eq!((sim.group.state(), sim.group.generation()), (State::Empty, 2));
    assert!(sim.group.is_deserted());
}

#[test]
fn a_stable_group_shows_metadata_and_assignments_and_another_does_not() {
    let mut sim = Sim::stable(2);
    let shown = sim.group.describe();
    assert_eq!((shown.state.name(), &*shown.protocol_type, &*shown.protocol), ("Stable", "test", "range"));
    let first = MemberDescription {
        id: "m1".into(),
        instance_id: None,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        metadata: bytes("r"),
        assignment: bytes("m1@1"),
    };
    assert_eq!(shown.members[0], first);
    sim.join(known("m1"));
    let shown = sim.group.describe();
    assert_eq!((shown.state.name(), &*shown.protocol), ("PreparingRebalance", ""));
    assert_eq!(shown.members[0], MemberDescription { metadata: bytes(""), assignment: bytes(""), ..first });
}

#[test]
fn a_consumer_group_knows_the_topics_that_it_reads() {
    let subscription = |topics: &[&str]| {
        let mut bytes = vec![0, 1, 0, 0, 0, topics.len() as u8];
        for topic in topics {
            bytes.extend([0, topic.len() as u8]);
            bytes.extend(topic.as_bytes());
        }
        vec![Protocol { name: "range".into(), metadata: bytes.into() }]
    };
    let mut sim = Sim::new();
    let consumer = |protocols| Join { protocol_type: "consumer".into(), protocols, ..new_member() };
    sim.join(consumer(subscription(&["orders"])));
    assert!(sim.group.is_subscribed("orders") && !sim.group.is_subscribed("clicks"));
    assert!(sim.group.knows_topics());
    let _ = sim.leave("m1");
    assert!(!sim.group.is_subscribed("orders"));
    sim.join(consumer(protocols(&[("range", "not a subscription")])));
    assert!(sim.group.is_subscribed("clicks") && !sim.group.knows_topics());
    assert!(!Sim::stable(1).group.is_subscribed("orders"), "members of another type read no topics");
}
