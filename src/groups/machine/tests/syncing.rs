//! Assignments: from the leader, through the storage, to the members.

use super::*;

fn rebalanced(members: usize) -> Sim {
    let mut sim = Sim::with(Rules { initial_delay_ms: DELAY, ..Sim::new().group.rules });
    for _ in 0..members {
        sim.join(new_member());
    }
    sim.advance(2 * DELAY);
    assert_eq!(sim.group.state(), State::CompletingRebalance);
    sim
}

impl Sim {
    pub(super) fn sync_error(&mut self, member: &str, generation: i32) -> GroupError {
        let ticket = self.sync(member, generation, &[]);
        self.syncs[&ticket].clone().unwrap_err()
    }
}

#[test]
fn followers_wait_for_the_leader_and_all_wait_for_the_storage() {
    let mut sim = rebalanced(3);
    let early = sim.sync("m2", 1, &[]);
    let leader = sim.sync("m1", 1, &[("m1", "one"), ("m2", "two"), ("stranger", "none")]);
    let late = sim.sync("m3", 1, &[]);
    assert_eq!(sim.syncs.len(), 0);
    let stored: Vec<_> = sim.stores[0].members.iter().map(|m| m.assignment.clone()).collect();
    assert_eq!(stored, [bytes("one"), bytes("two"), bytes("")]);

    sim.stored(Ok(()));
    let parts = [leader, early, late].map(|ticket| sim.assigned(ticket));
    assert_eq!(parts, [bytes("one"), bytes("two"), bytes("")]);
    assert_eq!(sim.syncs[&early].clone().unwrap().protocol, Some("range".into()));
    assert_eq!(sim.group.state(), State::Stable);
}

#[test]
fn a_member_that_syncs_again_gets_its_assignment_again() {
    let mut sim = Sim::stable(2);
    let again = sim.sync("m2", 1, &[]);
    assert_eq!(sim.assigned(again), bytes("m2@1"));
}

#[test]
fn assignments_that_cannot_be_stored_are_not_handed_out() {
    let mut sim = rebalanced(2);
    let follower = sim.sync("m2", 1, &[]);
    let leader = sim.sync("m1", 1, &[("m1", "one"), ("m2", "two")]);
    sim.stored(Err(GroupError::Closed));
    assert_eq!(sim.syncs[&leader], Err(GroupError::Closed));
    assert_eq!(sim.syncs[&follower], Err(GroupError::Closed));
    assert_eq!(sim.group.state(), State::PreparingRebalance);
}

#[test]
fn assignments_stored_after_a_rebalance_has_begun_are_past() {
    let mut sim = rebalanced(2);
    let leader = sim.sync("m1", 1, &[("m1", "one")]);
    sim.join(new_member());
    assert_eq!(sim.syncs[&leader], Err(GroupError::Rebalancing));
    sim.stored(Ok(()));
    assert_eq!(sim.group.state(), State::PreparingRebalance);
    assert_eq!(sim.group.describe().members[0].assignment, bytes(""));
}

#[test]
fn a_sync_of_another_generation_or_protocol_or_of_nobody_is_refused() {
    let mut sim = rebalanced(1);
    assert_eq!(sim.sync_error("m1", 0), GroupError::IllegalGeneration { asked: 0, current: 1 });
    assert_eq!(sim.sync_error("m9", 1), unknown("m9"));
    for request in [
        SyncRequest { protocol_type: Some("connect".into()), ..sync("m1", 1) },
        SyncRequest { protocol: Some("sticky".into()), ..sync("m1", 1) },
    ] {
        let ticket = sim.sync_as(request);
        assert_eq!(sim.syncs[&ticket], Err(GroupError::InconsistentProtocol));
    }
    let named = SyncRequest {
        protocol_type: Some("test".into()),
        protocol: Some("range".into()),
        assignments: vec![("m1".into(), bytes("all"))],
        ..sync("m1", 1)
    };
    let ticket = sim.sync_as(named);
    sim.stored(Ok(()));
    assert_eq!(sim.assigned(ticket), bytes("all"));
}

#[test]
fn members_that_never_sync_are_removed_after_the_rebalance_timeout() {
    let mut sim = Sim::stable(2);
    let started = sim.now_ms;
    sim.join(changed("m2"));
    sim.join(known("m1"));
    let leader = sim.sync("m1", 2, &[]);
    sim.stored(Ok(()));
    assert_eq!(sim.assigned(leader), bytes(""));
    while sim.now_ms < started + REBALANCE - 5_000 {
        sim.advance(5_000);
        assert_eq!((sim.heartbeat("m1", 2), sim.heartbeat("m2", 2)), (Ok(()), Ok(())));
    }
    sim.advance(5_000);
    assert_eq!(sim.heartbeat("m1", 2), Err(GroupError::Rebalancing));
    assert_eq!(sim.heartbeat("m2", 2), Err(unknown("m2")));
}

#[test]
fn a_leader_that_never_syncs_is_removed_and_the_followers_join_again() {
    let mut sim = rebalanced(2);
    let follower = sim.sync("m2", 1, &[]);
    for _ in 0..REBALANCE / 5_000 {
        let _ = sim.heartbeat("m1", 1);
        sim.advance(5_000);
    }
    assert_eq!(sim.syncs[&follower], Err(GroupError::Rebalancing));
    let again = sim.join(known("m2"));
    assert_eq!(sim.joined(again).leader, "m2".into());
}

#[test]
fn a_sync_that_comes_again_while_the_first_waits_replaces_it() {
    let mut sim = rebalanced(2);
    let lost = sim.sync("m2", 1, &[]);
    let again = sim.sync("m2", 1, &[]);
    assert_eq!(sim.syncs[&lost], Err(GroupError::Rebalancing));
    sim.sync("m1", 1, &[("m2", "two")]);
    sim.stored(Ok(()));
    assert_eq!(sim.assigned(again), bytes("two"));
}

#[test]
fn waiting_for_the_leader_keeps_the_session_and_the_answer_renews_it() {
    let mut sim = rebalanced(2);
    let follower = sim.sync("m2", 1, &[]);
    for _ in 0..3 {
        sim.advance(SESSION - 1);
        assert_eq!(sim.heartbeat("m1", 1), Ok(()));
    }
    sim.sync("m1", 1, &[("m2", "two")]);
    sim.stored(Ok(()));
    assert_eq!(sim.assigned(follower), bytes("two"));
    sim.advance(SESSION - 1);
    assert_eq!(sim.heartbeat("m2", 1), Ok(()));
}
