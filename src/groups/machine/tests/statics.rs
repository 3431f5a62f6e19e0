//! Static members: back under another id, without a rebalance if nothing has changed.

use super::*;

/// `m1` is instance `a` and leads, `m2` is instance `b`.
fn stable() -> Sim {
    let mut sim = Sim::with(Rules { initial_delay_ms: DELAY, ..Sim::new().group.rules });
    sim.join(instance("a"));
    sim.join(instance("b"));
    sim.advance(2 * DELAY);
    sim.assign_all();
    sim.stores.clear();
    sim
}

fn fenced(name: &str) -> GroupError {
    GroupError::FencedInstance { instance_id: name.into() }
}

#[test]
fn a_follower_takes_its_place_again_under_a_new_id_once_that_is_stored() {
    let mut sim = stable();
    let back = sim.join(instance("b"));
    assert_eq!(sim.joins.get(&back), None);
    assert_eq!(sim.stores[0].members[1].id, "m3".into());
    assert_eq!(sim.stores[0].members[1].assignment, bytes("m2@1"));
    sim.stored(Ok(()));
    let joined = sim.joined(back);
    assert_eq!((joined.generation, joined.member_id, joined.leader), (1, "m3".into(), "m1".into()));
    let got = sim.sync("m3", 1, &[]);
    assert_eq!(sim.assigned(got), bytes("m2@1"));
    assert_eq!(sim.group.state(), State::Stable);
}

#[test]
fn the_old_id_of_an_instance_is_fenced_at_once() {
    let mut sim = stable();
    sim.join(instance("b"));
    let beat = sim.group.handle_heartbeat(&"m2".into(), Some(&"b".into()), 1, at(sim.now_ms));
    assert_eq!(beat, Err(fenced("b")));
    let who = OffsetCommitter { member_id: "m2".into(), instance_id: Some("b".into()), generation: 1 };
    assert_eq!(sim.group.handle_commit(&who, at(sim.now_ms)), Err(fenced("b")));
    let again = sim.join(Join { member_id: "m2".into(), ..instance("b") });
    assert_eq!(sim.refused(again), fenced("b"));
    let ticket = sim.sync_as(SyncRequest { instance_id: Some("b".into()), ..sync("m2", 1) });
    assert_eq!(sim.syncs[&ticket], Err(fenced("b")));
}

#[test]
fn requests_of_the_old_id_that_wait_are_answered_fenced() {
    let mut sim = stable();
    let waiting =
        sim.join(Join { member_id: "m2".into(), protocols: protocols(&[("range", "x")]), ..instance("b") });
    assert_eq!(sim.group.state(), State::PreparingRebalance);
    let back = sim.join(instance("b"));
    assert_eq!(sim.joins[&waiting], Err(JoinRefused { member_id: "m2".into(), error: fenced("b") }));
    sim.join(Join { member_id: "m1".into(), ..instance("a") });
    assert_eq!((sim.joined(back).generation, sim.group.members()), (2, 2));
}

#[test]
fn a_leader_that_is_back_skips_the_assignment_if_its_client_can() {
    let mut sim = stable();
    let back = sim.join(Join { may_skip_assignment: true, ..instance("a") });
    sim.stored(Ok(()));
    let joined = sim.joined(back);
    assert_eq!((joined.leader.clone(), joined.member_id.clone()), ("m3".into(), "m3".into()));
    assert!(joined.skip_assignment);
    let names: Vec<_> = joined.members.iter().map(|m| (m.member_id.clone(), m.instance_id.clone())).collect();
    assert_eq!(names, [("m2".into(), Some("b".into())), ("m3".into(), Some("a".into()))]);
}

#[test]
fn a_leader_that_is_back_with_an_old_client_hears_that_its_old_self_leads() {
    let mut sim = stable();
    let back = sim.join(instance("a"));
    sim.stored(Ok(()));
    let joined = sim.joined(back);
    assert_eq!((joined.leader, joined.member_id, joined.members.len()), ("m1".into(), "m3".into(), 0));
    assert!(!joined.skip_assignment);
    // Its next join, now as itself, is one of the leader.
    sim.join(Join { member_id: "m3".into(), ..instance("a") });
    assert_eq!(sim.group.state(), State::PreparingRebalance);
}

#[test]
fn other_metadata_do_not_matter_as_long_as_the_protocol_stays() {
    let mut sim = stable();
    let back = sim.join(Join { protocols: protocols(&[("range", "new")]), ..instance("b") });
    sim.stored(Ok(()));
    assert_eq!((sim.joined(back).generation, sim.group.state()), (1, State::Stable));
}

#[test]
fn a_protocol_that_changes_makes_the_group_rebalance() {
    let mut sim = stable();
    let back = sim.join(Join { protocols: protocols(&[("sticky", "new")]), ..instance("b") });
    assert_eq!(sim.group.state(), State::PreparingRebalance);
    sim.join(Join { member_id: "m1".into(), ..instance("a") });
    assert_eq!(sim.joined(back).protocol, Some("sticky".into()));
}

#[test]
fn a_new_id_that_cannot_be_stored_gives_the_place_back() {
    let mut sim = stable();
    let back = sim.join(instance("a"));
    sim.stored(Err(GroupError::Closed));
    assert_eq!(sim.joins[&back], Err(JoinRefused { member_id: "".into(), error: GroupError::Closed }));
    let beat = sim.group.handle_heartbeat(&"m1".into(), Some(&"a".into()), 1, at(sim.now_ms));
    assert_eq!(beat, Ok(()));
    assert_eq!(sim.group.leader, Some("m1".into()));
}

#[test]
fn a_rebalance_that_begins_while_the_new_id_is_stored_answers_the_join() {
    let mut sim = stable();
    let back = sim.join(instance("b"));
    sim.join(Join { member_id: "m1".into(), ..instance("a") });
    assert_eq!(sim.joined(back).generation, 2);
    sim.stored(Ok(()));
    assert_eq!(sim.group.state(), State::CompletingRebalance);
}

#[test]
fn a_static_member_that_is_back_while_the_leader_assigns_begins_anew() {
    let mut sim = stable();
    sim.join(Join { member_id: "m1".into(), ..instance("a") });
    sim.join(Join { member_id: "m2".into(), ..instance("b") });
    let leader = sim.sync_as(SyncRequest { instance_id: Some("a".into()), ..sync("m1", 2) });
    sim.join(instance("b"));
    assert_eq!(sim.syncs[&leader], Err(GroupError::Rebalancing));
    assert_eq!(sim.group.state(), State::PreparingRebalance);
}

#[test]
fn static_members_that_do_not_join_again_stay_until_their_session_ends() {
    let mut sim = stable();
    let third = sim.join(instance("c"));
    let leader = sim.join(Join { member_id: "m1".into(), ..instance("a") });
    for _ in 0..REBALANCE / 5_000 {
        sim.advance(5_000);
        let _ = sim.heartbeat("m2", 1);
    }
    assert_eq!(sim.joined(leader).members.len(), 3);
    assert_eq!(sim.joined(third).generation, 2);
}

#[test]
fn when_no_static_member_joins_again_the_rebalance_waits_until_their_sessions_end() {
    let mut sim = stable();
    sim.group.prepare_rebalance(at(sim.now_ms));
    for _ in 0..2 * REBALANCE / 5_000 {
        sim.advance(5_000);
        let _ = (sim.heartbeat("m1", 1), sim.heartbeat("m2", 1));
    }
    assert_eq!((sim.group.state(), sim.group.members()), (State::PreparingRebalance, 2));
    sim.advance(SESSION);
    assert_eq!((sim.group.state(), sim.group.generation()), (State::Empty, 2));
}

#[test]
fn a_static_member_keeps_its_place_in_the_list_of_those_that_have_not_synced() {
    let mut sim = stable();
    sim.join(Join { member_id: "m1".into(), ..instance("a") });
    sim.join(Join { member_id: "m2".into(), ..instance("b") });
    sim.sync_as(SyncRequest { instance_id: Some("a".into()), ..sync("m1", 2) });
    sim.stored(Ok(()));
    sim.join(instance("b"));
    sim.stored(Ok(()));
    assert_eq!(sim.group.unsynced.iter().map(|id| &**id).collect::<Vec<_>>(), ["m5"]);
    let got = sim.sync_as(SyncRequest { instance_id: Some("b".into()), ..sync("m5", 2) });
    assert_eq!(sim.assigned(got), bytes(""));
    assert_eq!(sim.group.sync_ends, None);
}
