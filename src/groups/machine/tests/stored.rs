//! After a crash: a group comes back as it was stored.

use super::*;

#[test]
fn members_go_on_with_their_generation_and_assignment_after_a_crash() {
    let before = Sim::stable(2);
    let snapshot = before.stores.last().unwrap().clone();
    let mut sim = Sim::of(Classic::restore(snapshot, before.group.rules, at(5)), 5);
    assert_eq!((sim.heartbeat("m1", 1), sim.heartbeat("m2", 1)), (Ok(()), Ok(())));
    let again = sim.sync("m2", 1, &[]);
    assert_eq!(sim.assigned(again), bytes("m2@1"));
    let unchanged = sim.join(known("m2"));
    assert_eq!(sim.joined(unchanged).generation, 1);
    assert_eq!(sim.group.describe(), before.group.describe());
}

#[test]
fn members_that_do_not_come_back_have_a_session_to_do_so() {
    let before = Sim::stable(2);
    let snapshot = before.stores.last().unwrap().clone();
    let mut sim = Sim::of(Classic::restore(snapshot, before.group.rules, at(7)), 7);
    sim.advance(SESSION - 1);
    assert_eq!(sim.heartbeat("m1", 1), Ok(()));
    sim.advance(1);
    assert_eq!((sim.group.state(), sim.group.members()), (State::PreparingRebalance, 1));
}

#[test]
fn a_static_member_is_known_by_its_instance_after_a_crash() {
    let mut before = Sim::new();
    before.join(instance("a"));
    before.assign_all();
    let snapshot = before.stores.last().unwrap().clone();
    let mut sim = Sim::of(Classic::restore(snapshot, before.group.rules, at(0)), 0);
    sim.ids = before.ids;
    let back = sim.join(instance("a"));
    sim.stored(Ok(()));
    assert_eq!(sim.joined(back).generation, 1);
}

#[test]
fn an_empty_group_keeps_its_number_and_the_time_since_when_it_is_empty() {
    let mut before = Sim::stable(1);
    before.advance(3);
    let _ = before.leave("m1");
    let snapshot = before.stores.last().unwrap().clone();
    let group = Classic::restore(snapshot, before.group.rules, at(99));
    assert_eq!((group.state(), group.generation()), (State::Empty, 2));
    assert_eq!(group.changed_ms(), before.now().wall_ms);
    assert_eq!(&**group.protocol_type().unwrap(), "test");
}

#[test]
fn a_group_larger_than_a_lowered_limit_rebalances() {
    let before = Sim::stable(3);
    let snapshot = before.stores.last().unwrap().clone();
    let rules = Rules { members_max: 2, ..before.group.rules };
    let mut sim = Sim::of(Classic::restore(snapshot, rules, at(0)), 0);
    assert_eq!(sim.heartbeat("m1", 1), Err(GroupError::Rebalancing));
}
