//! Who is a member: joining, epochs, silence, leaving, and what outsiders may do.

use super::*;

#[test]
fn the_first_member_gets_everything_at_once() {
    let mut sim = Sim::new(&[("orders", 3)]);
    let beat = sim.beat(&joining("a")).unwrap();
    let all = sim.some("orders", 0..3);
    assert_eq!(beat, Beat { member_id: "a".into(), epoch: 1, assignment: Some(all) });
    assert_eq!(sim.group.state(), State::Stable);
}

#[test]
fn a_member_without_an_id_gets_one() {
    let mut sim = Sim::new(&[("orders", 1)]);
    assert_eq!(&*sim.beat(&joining("")).unwrap().member_id, "fresh");
}

#[test]
fn a_heartbeat_that_says_all_hears_all_and_one_that_says_nothing_hears_nothing() {
    let mut sim = Sim::new(&[("orders", 1)]);
    let mut a = sim.join("a");
    let changes = sim.group.changes();
    assert_eq!(a.live(&mut sim).unwrap().assignment, None);
    assert_eq!(a.beat(&mut sim).unwrap().assignment, Some(sim.some("orders", 0..1)));
    assert_eq!(sim.group.changes(), changes, "nothing is to be stored");
}

#[test]
fn topics_that_are_not_there_yet_are_assigned_when_they_come() {
    let mut sim = Sim::new(&[]);
    let mut a = sim.join("a");
    assert_eq!(a.told, Assignment::default());
    sim.create("orders", 2);
    assert_eq!(a.live(&mut sim).unwrap().assignment, Some(sim.some("orders", 0..2)));
    sim.create("orders", 3);
    assert_eq!(a.live(&mut sim).unwrap().assignment, Some(sim.some("orders", 0..3)));
    sim.create("others", 3);
    assert_eq!(a.live(&mut sim).unwrap().assignment, None);
    let orders = sim.id("orders");
    sim.delete("orders");
    let beat = a.live(&mut sim).unwrap();
    assert_eq!(beat.assignment, Some(Assignment::default()));
    assert_eq!(sim.member("a").revoking.topics().map(|(id, _)| id).collect::<Vec<_>>(), [orders]);
    a.beat(&mut sim).unwrap();
    assert_eq!(sim.group.state(), State::Stable);
}

#[test]
fn a_subscription_by_expression_follows_the_topics() {
    let mut sim = Sim::new(&[("orders", 1), ("clicks", 1)]);
    let mut a = Client::new("a");
    a.beat.topics = None;
    a.beat.pattern = Some("ord.*".into());
    a.beat(&mut sim).unwrap();
    assert_eq!(a.told, sim.some("orders", 0..1));
    assert!(sim.group.is_subscribed("orders") && !sim.group.is_subscribed("clicks"));
    sim.create("ordeal", 1);
    a.beat(&mut sim).unwrap();
    assert_eq!(a.told.len(), 2);
    // An empty one ends it.
    a.beat.pattern = Some("".into());
    a.beat(&mut sim).unwrap();
    assert_eq!(a.told, Assignment::default());
}

#[test]
fn an_expression_that_is_none_makes_no_member() {
    let mut sim = Sim::new(&[]);
    let refused = sim.beat(&Heartbeat { pattern: Some("(".into()), ..joining("a") });
    assert!(matches!(refused, Err(GroupError::Pattern { .. })), "{refused:?}");
    assert_eq!((sim.group.members().len(), sim.group.changes()), (0, 0));
}

#[test]
fn a_member_with_another_epoch_is_fenced() {
    let mut sim = Sim::new(&[("orders", 1)]);
    let a = sim.join("a");
    let at = |epoch| Heartbeat { epoch, ..a.beat.clone() };
    assert_eq!(sim.beat(&at(2)), Err(GroupError::FencedEpoch { asked: 2, current: 1 }));
    let unknown = Heartbeat { member_id: "b".into(), ..at(1) };
    assert_eq!(sim.beat(&unknown), Err(GroupError::UnknownMember { member_id: "b".into() }));
    assert_eq!(sim.beat(&at(-3)), Err(GroupError::Epoch { asked: -3 }));
}

#[test]
fn a_member_that_missed_an_answer_goes_on_with_the_epoch_before() {
    let mut sim = Sim::new(&[("orders", 2)]);
    let mut a = sim.join("a");
    a.beat(&mut sim).unwrap();
    let before = a.clone();
    sim.create("orders", 3);
    a.live(&mut sim).unwrap();
    assert_eq!(a.beat.epoch, 2);

    let mut lost = before;
    let beat = lost.beat(&mut sim).unwrap();
    assert_eq!((beat.epoch, beat.assignment), (2, Some(sim.some("orders", 0..3))));
    // One that owns more than it has does not.
    let owned = Some(sim.some("orders", 0..5));
    let greedy = Heartbeat { epoch: 1, owned, ..a.beat.clone() };
    assert_eq!(sim.beat(&greedy), Err(GroupError::FencedEpoch { asked: 1, current: 2 }));
}

#[test]
fn a_member_that_joins_again_begins_anew() {
    let mut sim = Sim::new(&[("orders", 2)]);
    let mut a = sim.join("a");
    let beat = sim.beat(&joining("a")).unwrap();
    assert_eq!((beat.epoch, beat.assignment), (1, Some(sim.some("orders", 0..2))));
    a.beat(&mut sim).unwrap();
    assert_eq!(sim.group.members().len(), 1);
}

#[test]
fn a_silent_member_is_removed_when_its_session_ends() {
    let mut sim = Sim::new(&[("orders", 2)]);
    let (mut a, mut b) = (sim.join("a"), sim.join("b"));
    settle(&mut sim, &mut [&mut a, &mut b]);
    sim.advance(SESSION - 1);
    a.live(&mut sim).unwrap();
    assert_eq!(sim.group.next_deadline(), Some(SESSION));
    sim.advance(1);
    assert_eq!(sim.group.members().map(|m| &*m.id).collect::<Vec<_>>(), ["a"]);
    assert_eq!(sim.group.state(), State::Assigning);
    a.live(&mut sim).unwrap();
    assert_eq!(a.told, sim.some("orders", 0..2));
    assert_eq!(b.live(&mut sim), Err(GroupError::UnknownMember { member_id: "b".into() }));
}

#[test]
fn who_leaves_leaves_at_once() {
    let mut sim = Sim::new(&[("orders", 1)]);
    let a = sim.join("a");
    let beat = sim.beat(&Heartbeat { epoch: LEAVES, ..a.beat.clone() }).unwrap();
    assert_eq!(beat, Beat { member_id: "a".into(), epoch: LEAVES, assignment: None });
    assert_eq!((sim.group.state(), sim.group.holders.len()), (State::Empty, 0));
    assert_eq!(sim.group.next_deadline(), None);
}

#[test]
fn a_full_group_takes_no_more_members() {
    let mut sim = Sim::new(&[]);
    for id in ["a", "b", "c", "d", "e"] {
        sim.join(id);
    }
    assert_eq!(sim.beat(&joining("f")), Err(GroupError::Full { limit: 5 }));
    assert_eq!(sim.beat(&joining("e")).map(|beat| beat.epoch), Ok(5));
}

#[test]
fn most_members_decide_who_assigns() {
    let mut sim = Sim::new(&[]);
    assert_eq!(sim.group.assignor(), Assignor::Uniform);
    sim.beat(&Heartbeat { assignor: Some(Assignor::Range), ..joining("a") }).unwrap();
    assert_eq!(sim.group.assignor(), Assignor::Range);
    sim.beat(&Heartbeat { assignor: Some(Assignor::Uniform), ..joining("b") }).unwrap();
    assert_eq!(sim.group.assignor(), Assignor::Uniform);
}

#[test]
fn offsets_are_committed_by_members_at_their_epoch() {
    let mut sim = Sim::new(&[("orders", 1)]);
    let who = |id: &str, generation| OffsetCommitter { member_id: id.into(), instance_id: None, generation };
    assert_eq!(sim.group.check_commit(&who("", -1), false), Ok(()), "nobody is in the group");
    sim.join("a");
    let unknown = |id: &str| Err(GroupError::UnknownMember { member_id: id.into() });
    assert_eq!(sim.group.check_commit(&who("", -1), false), unknown(""));
    assert_eq!(sim.group.check_commit(&who("", -1), true), Ok(()));
    assert_eq!(sim.group.check_commit(&who("b", 1), true), unknown("b"));
    assert_eq!(sim.group.check_commit(&who("a", 1), false), Ok(()));
    let stale = Err(GroupError::StaleEpoch { asked: 0, current: 1 });
    assert_eq!(sim.group.check_commit(&who("a", 0), false), stale);
}

#[test]
fn only_a_group_without_members_is_deleted() {
    let mut sim = Sim::new(&[]);
    sim.join("a");
    assert_eq!(sim.group.handle_delete(), Err(GroupError::NotEmpty { members: 1 }));
    sim.group.handle_expel();
    assert_eq!(sim.group.handle_delete(), Ok(()));
    assert_eq!((sim.group.state(), sim.beat(&joining("a"))), (State::Dead, Err(GroupError::Deleting)));
    sim.group.handle_revive();
    assert_eq!(sim.beat(&joining("a")).map(|beat| beat.epoch), Ok(3));
}
