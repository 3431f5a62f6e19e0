//! Rebalances: who they wait for, and what they do to whom.

use super::*;

#[test]
fn everybody_joins_again_when_a_member_comes() {
    let mut sim = Sim::stable(2);
    let third = sim.join(new_member());
    assert_eq!(sim.heartbeat("m1", 1), Err(GroupError::Rebalancing));
    let first = sim.join(known("m1"));
    assert_eq!(sim.joins.get(&third), None);
    let second = sim.join(known("m2"));
    let generations: Vec<_> = [first, second, third].iter().map(|t| sim.joined(*t).generation).collect();
    assert_eq!(generations, [2, 2, 2]);
    assert_eq!(sim.joined(first).members.len(), 3);
}

#[test]
fn who_does_not_join_again_in_time_is_removed_and_another_leads() {
    let mut sim = Sim::stable(3);
    let second = sim.join(changed("m2"));
    for _ in 0..REBALANCE / 5_000 - 1 {
        sim.advance(5_000);
        for id in ["m1", "m3"] {
            assert_eq!(sim.heartbeat(id, 1), Err(GroupError::Rebalancing));
        }
    }
    assert_eq!(sim.joins.get(&second), None);
    sim.advance(5_000);
    let joined = sim.joined(second);
    assert_eq!((joined.generation, joined.leader, joined.members.len()), (2, "m2".into(), 1));
    assert_eq!(sim.heartbeat("m1", 1), Err(unknown("m1")));
}

#[test]
fn a_member_without_a_sign_of_life_is_removed_and_the_others_rebalance() {
    let mut sim = Sim::stable(2);
    sim.advance(SESSION - 1);
    assert_eq!(sim.heartbeat("m1", 1), Ok(()));
    sim.advance(1);
    assert_eq!(sim.group.state(), State::PreparingRebalance);
    assert_eq!(sim.heartbeat("m2", 1), Err(unknown("m2")));
    let alone = sim.join(known("m1"));
    assert_eq!(sim.joined(alone).members.len(), 1);
}

#[test]
fn a_rebalance_goes_on_without_a_member_whose_session_ends() {
    let mut sim = Sim::stable(2);
    let first = sim.join(known("m1"));
    sim.advance(SESSION);
    assert_eq!(sim.joined(first).members.len(), 1);
}

#[test]
fn members_that_wait_for_others_keep_their_sessions() {
    let mut sim = Sim::stable(2);
    let first = sim.join(known("m1"));
    for _ in 0..5 {
        sim.advance(SESSION - 1);
        let _ = sim.heartbeat("m2", 1);
    }
    assert_eq!(sim.joins.get(&first), None);
    sim.join(known("m2"));
    assert_eq!(sim.joined(first).members.len(), 2);
    sim.advance(SESSION - 1);
    assert_eq!(sim.group.members(), 2);
}

#[test]
fn the_last_member_leaves_an_empty_generation_that_is_stored() {
    let mut sim = Sim::stable(1);
    sim.stores.clear();
    assert_eq!(sim.leave("m1"), Ok(()));
    assert_eq!((sim.group.state(), sim.group.generation()), (State::Empty, 2));
    let stored = &sim.stores[0];
    assert_eq!((stored.generation, stored.members.len(), stored.protocol.clone()), (2, 0, None));
    assert_eq!(stored.protocol_type, Some("test".into()));
    assert_eq!(stored.changed_ms, sim.now().wall_ms);
}

#[test]
fn a_group_that_was_empty_goes_on_from_its_generation() {
    let mut sim = Sim::stable(1);
    let _ = sim.leave("m1");
    sim.group.rules.initial_delay_ms = 0;
    let next = sim.join(new_member());
    assert_eq!(sim.joined(next).generation, 3);
}

/// Members join while the group rebalances because of members that have just joined, again and again: nobody may be left
/// waiting, and in the end all are in one generation.
#[test]
fn chained_concurrent_rebalances_end_in_one_generation_with_everybody() {
    let mut sim = Sim::stable(3);
    for round in 0..4 {
        let newcomer = sim.join(new_member());
        sim.join(known("m1"));
        let another = sim.join(new_member());
        for id in sim.group.members.keys().cloned().collect::<Vec<_>>() {
            if sim.group.members[&id].join.is_none() {
                sim.join(known(&id));
            }
        }
        let generation = sim.joined(newcomer).generation;
        assert_eq!(sim.joined(another).generation, generation, "round {round}");

        // Some have synced, the leader has not, and the next member is there already.
        let waiting = sim.sync("m2", generation, &[]);
        sim.join(new_member());
        assert_eq!(sim.syncs[&waiting], Err(GroupError::Rebalancing));
        assert_eq!(sim.sync_error("m3", generation), GroupError::Rebalancing);
        for id in sim.group.members.keys().cloned().collect::<Vec<_>>() {
            if sim.group.members[&id].join.is_none() {
                sim.join(known(&id));
            }
        }
        sim.assign_all();
        assert_eq!(sim.group.members(), 3 + 3 * (round + 1));
    }
    let unanswered = sim.group.members.values().filter(|m| m.join.is_some() || m.sync.is_some()).count();
    assert_eq!(unanswered, 0);
    assert_eq!(sim.joins.len() + sim.syncs.len(), sim.tickets as usize);
}

/// A cooperative member keeps reading while it joins; it joins twice, with what it owns in its metadata.
#[test]
fn cooperative_members_join_again_with_new_metadata_and_are_heard() {
    let mut sim = Sim::stable(2);
    let owning = |id: &str, what| Join { protocols: protocols(&[("range", what)]), ..known(id) };
    sim.join(owning("m1", "owns 0,1"));
    sim.join(owning("m2", "owns 2,3"));
    let metadata = |joined: Joined| joined.members.into_iter().map(|m| m.metadata).collect::<Vec<_>>();
    assert_eq!(metadata(sim.joined(sim.tickets - 1)), [bytes("owns 0,1"), bytes("owns 2,3")]);
    sim.assign_all();
    // What was revoked in the first round is given away in the second.
    sim.join(owning("m2", "owns 2"));
    let leader = sim.join(owning("m1", "owns 0,1"));
    assert_eq!(sim.joined(leader).generation, 3);
    assert_eq!(metadata(sim.joined(leader)), [bytes("owns 0,1"), bytes("owns 2")]);
}

#[test]
fn a_change_of_metadata_while_the_leader_assigns_begins_anew() {
    let mut sim = Sim::stable(2);
    sim.join(changed("m2"));
    sim.join(known("m1"));
    let waiting = sim.sync("m2", 2, &[]);
    sim.join(Join { protocols: protocols(&[("range", "changed again")]), ..known("m1") });
    assert_eq!(sim.syncs[&waiting], Err(GroupError::Rebalancing));
    assert_eq!(sim.group.state(), State::PreparingRebalance);
}

#[test]
fn a_leader_that_leaves_while_it_should_assign_is_replaced() {
    let mut sim = Sim::stable(2);
    sim.join(changed("m2"));
    sim.join(known("m1"));
    let waiting = sim.sync("m2", 2, &[]);
    assert_eq!(sim.leave("m1"), Ok(()));
    assert_eq!(sim.syncs[&waiting], Err(GroupError::Rebalancing));
    let again = sim.join(known("m2"));
    let joined = sim.joined(again);
    assert_eq!((joined.generation, joined.leader, joined.members.len()), (3, "m2".into(), 1));
}

#[test]
fn deadlines_are_met_in_the_order_of_time_when_the_clock_jumps() {
    let mut sim = Sim::stable(2);
    let first = sim.join(known("m1"));
    sim.group.handle_timeout(at(sim.now_ms + 10 * REBALANCE));
    sim.settle();
    assert_eq!(sim.joined(first).members.len(), 1);
}
