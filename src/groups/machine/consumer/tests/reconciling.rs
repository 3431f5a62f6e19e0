//! Partitions that change hands: given up first, taken afterwards.

use super::*;

/// A member with everything, and one that has come since.
fn two() -> (Sim, Client, Client) {
    let mut sim = Sim::new(&[("orders", 2)]);
    let mut a = sim.join("a");
    a.beat(&mut sim).unwrap();
    let b = sim.join("b");
    (sim, a, b)
}

#[test]
fn who_comes_waits_until_the_others_have_given_up() {
    let (mut sim, mut a, mut b) = two();
    assert_eq!((b.beat.epoch, &b.told), (2, &Assignment::default()));
    assert_eq!(sim.member("b").progress, Progress::Unreleased);

    let beat = a.live(&mut sim).unwrap();
    assert_eq!((beat.epoch, beat.assignment), (1, Some(sim.some("orders", 0..1))));
    assert_eq!(sim.member("a").progress, Progress::Unrevoked);
    assert_eq!(b.live(&mut sim).unwrap().assignment, None, "a has not said that it gave up");
    assert_eq!(a.live(&mut sim).unwrap().epoch, 1, "nor by being alive");

    assert_eq!(a.beat(&mut sim).unwrap().epoch, 2);
    assert_eq!(b.live(&mut sim).unwrap().assignment, Some(sim.some("orders", 1..2)));
    assert_eq!(sim.group.state(), State::Stable);
}

#[test]
fn who_does_not_give_up_in_time_is_removed() {
    let (mut sim, mut a, mut b) = two();
    a.live(&mut sim).unwrap();
    for _ in 0..2 {
        sim.advance(REBALANCE / 2 - 1);
        a.live(&mut sim).unwrap();
        b.live(&mut sim).unwrap();
    }
    sim.advance(2);
    assert_eq!(a.live(&mut sim), Err(GroupError::UnknownMember { member_id: "a".into() }));
    assert_eq!(b.live(&mut sim).unwrap().assignment, Some(sim.some("orders", 0..2)));
}

#[test]
fn what_was_to_be_given_up_stays_when_the_target_changes_back() {
    let (mut sim, mut a, b) = two();
    a.live(&mut sim).unwrap();
    sim.beat(&Heartbeat { epoch: LEAVES, ..b.beat }).unwrap();
    // It gives up first: it may have begun to.
    let beat = a.live(&mut sim).unwrap();
    assert_eq!((beat.epoch, beat.assignment), (1, None));
    let beat = a.beat(&mut sim).unwrap();
    assert_eq!((beat.epoch, beat.assignment), (3, Some(sim.some("orders", 0..2))));
    assert_eq!(sim.group.state(), State::Stable);
}

#[test]
fn a_member_that_subscribes_to_something_else_gives_up_what_it_had() {
    let mut sim = Sim::new(&[("orders", 1), ("clicks", 1)]);
    let mut a = sim.join("a");
    a.beat(&mut sim).unwrap();
    a.beat.topics = Some(BTreeSet::from(["clicks".into()]));
    assert_eq!(a.beat(&mut sim).unwrap().assignment, Some(Assignment::default()));
    assert_eq!(a.beat(&mut sim).unwrap().assignment, Some(sim.some("clicks", 0..1)));
}

#[test]
fn a_group_goes_on_where_it_stood_when_it_was_stored() {
    let (mut sim, mut a, mut b) = two();
    a.live(&mut sim).unwrap();
    let before = sim.group.snapshot();
    sim.restart();
    let deadlines = |mut snapshot: Snapshot| {
        for member in &mut snapshot.members {
            (member.session_ends, member.revocation_ends) = (0, None);
        }
        snapshot
    };
    assert_eq!(deadlines(sim.group.snapshot()), deadlines(before));
    assert_eq!(sim.group.holders.len(), 2);
    assert_eq!(sim.group.next_deadline(), Some(SESSION));
    settle(&mut sim, &mut [&mut a, &mut b]);
    assert_eq!((a.owned.len(), b.owned.len()), (1, 1));
    assert_eq!(sim.group.epoch(), 2, "a restart alone moves nothing");
}

#[test]
fn topics_that_changed_while_nobody_looked_are_seen_after_a_restart() {
    let mut sim = Sim::new(&[("orders", 1)]);
    let mut a = sim.join("a");
    sim.create("orders", 2);
    sim.restart();
    assert_eq!(a.live(&mut sim).unwrap().assignment, Some(sim.some("orders", 0..2)));
}
