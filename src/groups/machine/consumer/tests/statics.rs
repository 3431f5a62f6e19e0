//! Static members: their place is kept while they are away.

use super::*;

fn instance(id: &str) -> Client {
    let mut client = Client::new(id);
    client.beat.instance_id = Some("i".into());
    client
}

fn away(sim: &mut Sim, client: &Client) -> Result<Beat, GroupError> {
    sim.beat(&Heartbeat { epoch: LEAVES_FOR_A_WHILE, ..client.beat.clone() })
}

#[test]
fn an_instance_that_comes_back_gets_what_it_had_without_a_rebalance() {
    let mut sim = Sim::new(&[("orders", 2)]);
    let (mut a, mut b) = (instance("a"), Client::new("b"));
    a.beat(&mut sim).unwrap();
    b.beat(&mut sim).unwrap();
    settle(&mut sim, &mut [&mut a, &mut b]);
    let epoch = sim.group.epoch();
    let beat = away(&mut sim, &a).unwrap();
    assert_eq!((beat.epoch, beat.assignment), (LEAVES_FOR_A_WHILE, None));
    sim.advance(1_000);
    assert_eq!(b.live(&mut sim).unwrap().assignment, None);

    let mut again = instance("a2");
    again.beat(&mut sim).unwrap();
    assert_eq!((again.beat.epoch, &again.told), (epoch, &a.owned));
    assert_eq!(sim.group.epoch(), epoch);
    assert!(!sim.group.members.contains_key("a"));
    let fenced = GroupError::FencedInstance { instance_id: "i".into() };
    assert_eq!(a.live(&mut sim), Err(fenced));
}

#[test]
fn an_instance_that_has_not_left_cannot_be_replaced() {
    let mut sim = Sim::new(&[("orders", 1)]);
    instance("a").beat(&mut sim).unwrap();
    let refused = instance("a2").beat(&mut sim);
    assert_eq!(refused, Err(GroupError::UnreleasedInstance { instance_id: "i".into() }));
    // But it may begin anew itself.
    assert_eq!(instance("a").beat(&mut sim).map(|beat| beat.epoch), Ok(1));
}

#[test]
fn an_instance_that_stays_away_is_removed() {
    let mut sim = Sim::new(&[("orders", 1)]);
    let mut a = instance("a");
    a.beat(&mut sim).unwrap();
    away(&mut sim, &a).unwrap();
    sim.advance(SESSION);
    assert_eq!(sim.group.state(), State::Empty);
    assert_eq!(sim.group.statics.len(), 0);
}

#[test]
fn an_instance_may_leave_for_good_and_others_not_for_a_while() {
    let mut sim = Sim::new(&[("orders", 1)]);
    let mut a = instance("a");
    a.beat(&mut sim).unwrap();
    let b = sim.join("b");
    assert_eq!(away(&mut sim, &b), Err(GroupError::Epoch { asked: LEAVES_FOR_A_WHILE }));
    sim.beat(&Heartbeat { epoch: LEAVES, ..a.beat.clone() }).unwrap();
    assert_eq!(sim.group.members().map(|m| &*m.id).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn what_an_absent_instance_had_to_give_up_is_free() {
    let mut sim = Sim::new(&[("orders", 2)]);
    let mut a = instance("a");
    a.beat(&mut sim).unwrap();
    a.beat(&mut sim).unwrap();
    let mut b = sim.join("b");
    a.live(&mut sim).unwrap();
    assert_eq!(sim.member("a").progress, Progress::Unrevoked);
    away(&mut sim, &a).unwrap();
    assert_eq!(b.live(&mut sim).unwrap().assignment.map(|a| a.len()), Some(1));
    sim.restart();
    let mut again = instance("a2");
    again.beat(&mut sim).unwrap();
    settle(&mut sim, &mut [&mut again, &mut b]);
    assert_eq!((again.owned.len(), b.owned.len()), (1, 1));
}
