//! How members come in, and who is not let in.

use super::*;

#[test]
fn the_first_member_leads_and_hears_of_all_members_with_their_metadata_as_sent() {
    let mut sim = Sim::with(Rules { initial_delay_ms: DELAY, ..Sim::new().group.rules });
    let odd = Bytes::from_static(&[0, 0xff, 0x80, 0]);
    let first =
        Join { protocols: vec![Protocol { name: "range".into(), metadata: odd.clone() }], ..new_member() };
    let first = sim.join(first);
    let second = sim.join(Join { protocols: protocols(&[("range", "two")]), ..new_member() });
    assert_eq!(sim.joins.len(), 0);
    sim.advance(2 * DELAY);

    let member = |id: &str, metadata| JoinedMember { member_id: id.into(), instance_id: None, metadata };
    let expected = Joined {
        generation: 1,
        protocol_type: Some("test".into()),
        protocol: Some("range".into()),
        leader: "m1".into(),
        member_id: "m1".into(),
        members: vec![member("m1", odd), member("m2", bytes("two"))],
        skip_assignment: false,
    };
    assert_eq!(sim.joined(first), expected);
    assert_eq!(sim.joined(second), Joined { member_id: "m2".into(), members: vec![], ..expected });
    assert_eq!(sim.group.state(), State::CompletingRebalance);
}

#[test]
fn a_new_dynamic_member_is_sent_back_for_its_id_and_joins_with_it() {
    let mut sim = Sim::new();
    let asked = sim.join(Join { needs_known_id: true, ..new_member() });
    let required = GroupError::MemberIdRequired { member_id: "m1".into() };
    assert_eq!(sim.joins[&asked], Err(JoinRefused { member_id: "m1".into(), error: required }));
    assert_eq!(sim.group.state(), State::Empty);

    let back = sim.join(Join { needs_known_id: true, ..known("m1") });
    assert_eq!(sim.joined(back).member_id, "m1".into());
    assert_eq!(sim.group.members(), 1);
}

#[test]
fn an_id_that_nobody_joins_with_lapses_after_its_session_timeout() {
    let mut sim = Sim::new();
    sim.join(Join { needs_known_id: true, ..new_member() });
    sim.advance(SESSION - 1);
    assert!(!sim.group.is_deserted());
    sim.advance(1);
    assert!(sim.group.is_deserted());
    let late = sim.join(known("m1"));
    assert_eq!(sim.joins[&late], Err(JoinRefused { member_id: "m1".into(), error: unknown("m1") }));
}

#[test]
fn a_rebalance_waits_for_ids_that_were_given_out_until_they_lapse() {
    let mut sim = Sim::stable(1);
    sim.join(Join { needs_known_id: true, ..new_member() });
    let again = sim.join(known("m1"));
    sim.advance(SESSION - 1);
    assert_eq!(sim.joins.get(&again), None);
    sim.advance(1);
    assert_eq!(sim.joined(again).generation, 2);
}

#[test]
fn the_first_rebalance_waits_for_members_that_come_one_after_the_other_but_not_for_ever() {
    let mut sim = Sim::with(Rules { initial_delay_ms: DELAY, ..Sim::new().group.rules });
    let first = sim.join(Join { rebalance_timeout_ms: 3 * DELAY, ..new_member() });
    for _ in 0..2 {
        sim.advance(DELAY - 1);
        sim.join(Join { rebalance_timeout_ms: 3 * DELAY, ..new_member() });
        sim.advance(1);
        assert_eq!(sim.joins.get(&first), None);
    }
    sim.join(Join { rebalance_timeout_ms: 3 * DELAY, ..new_member() });
    sim.advance(DELAY);
    assert_eq!(sim.joined(first).members.len(), 4);
    assert_eq!(sim.now_ms, 3 * DELAY);
}

#[test]
fn the_first_rebalance_ends_after_the_delay_when_nobody_else_comes() {
    let mut sim = Sim::with(Rules { initial_delay_ms: DELAY, ..Sim::new().group.rules });
    let only = sim.join(new_member());
    sim.advance(DELAY - 1);
    assert_eq!(sim.joins.get(&only), None);
    sim.advance(1);
    assert_eq!(sim.joined(only).generation, 1);
}

#[test]
fn a_new_member_whose_join_waits_too_long_is_given_up_and_told_to_try_again() {
    let mut sim = Sim::stable(1);
    sim.group.rules.new_member_wait_ms = 20_000;
    let new = sim.join(new_member());
    for _ in 0..4 {
        sim.advance(5_000);
        let _ = sim.heartbeat("m1", 1);
    }
    assert_eq!(sim.joins[&new], Err(JoinRefused { member_id: "".into(), error: unknown("m2") }));
    assert_eq!(sim.group.members(), 1);
}

#[test]
fn members_must_have_a_protocol_in_common_with_all_others() {
    let mut sim = Sim::stable(1);
    let other_type = sim.join(Join { protocol_type: "connect".into(), ..new_member() });
    let no_common = sim.join(Join { protocols: protocols(&[("other", "")]), ..new_member() });
    assert_eq!(sim.refused(other_type), GroupError::InconsistentProtocol);
    assert_eq!(sim.refused(no_common), GroupError::InconsistentProtocol);
    assert_eq!(sim.group.state(), State::Stable);
    let mut empty = Sim::new();
    for join in
        [Join { protocols: vec![], ..new_member() }, Join { protocol_type: "".into(), ..new_member() }]
    {
        let ticket = empty.join(join);
        assert_eq!(empty.refused(ticket), GroupError::InconsistentProtocol);
    }
}

#[test]
fn the_protocol_is_the_one_that_all_know_and_most_like_best() {
    let mut sim = Sim::with(Rules { initial_delay_ms: DELAY, ..Sim::new().group.rules });
    for list in [
        &[("a", ""), ("b", ""), ("c", "")][..],
        &[("only-mine", ""), ("c", ""), ("b", "")],
        &[("c", ""), ("b", "")],
    ] {
        sim.join(Join { protocols: protocols(list), ..new_member() });
    }
    sim.advance(2 * DELAY);
    assert_eq!(sim.joined(1).protocol, Some("c".into()));
}

#[test]
fn a_full_group_takes_no_new_member_and_keeps_those_it_has() {
    let mut sim = Sim::stable(2);
    sim.group.rules.members_max = 2;
    let third = sim.join(new_member());
    let refused = JoinRefused { member_id: "".into(), error: GroupError::Full { limit: 2 } };
    assert_eq!(sim.joins[&third], Err(refused));
    let again = sim.join(known("m2"));
    assert_eq!(sim.joined(again).generation, 1);
}

#[test]
fn when_the_limit_was_lowered_the_last_to_join_again_find_no_room() {
    let mut sim = Sim::stable(3);
    sim.group.rules.members_max = 2;
    let leader = sim.join(known("m1"));
    let second = sim.join(known("m3"));
    let third = sim.join(known("m2"));
    assert_eq!(sim.refused(third), GroupError::Full { limit: 2 });
    assert_eq!(sim.joined(leader).members.len(), 2);
    assert_eq!(sim.joined(second).generation, 2);
}

#[test]
fn ids_that_are_only_asked_for_are_limited_too() {
    let mut sim = Sim::new();
    sim.group.rules.members_max = 3;
    let asked: Vec<_> = (0..5).map(|_| sim.join(Join { needs_known_id: true, ..new_member() })).collect();
    let errors: Vec<_> = asked.iter().map(|t| sim.refused(*t)).collect();
    assert_eq!(errors[2], GroupError::MemberIdRequired { member_id: "m3".into() });
    assert_eq!(errors[3..], [GroupError::Full { limit: 3 }, GroupError::Full { limit: 3 }]);
}

#[test]
fn a_follower_that_joins_unchanged_hears_the_generation_as_it_is() {
    let mut sim = Sim::stable(2);
    let again = sim.join(known("m2"));
    let joined = sim.joined(again);
    assert_eq!((joined.generation, joined.leader, joined.members.len()), (1, "m1".into(), 0));
    assert_eq!(sim.group.state(), State::Stable);
}

#[test]
fn a_leader_that_joins_unchanged_makes_the_group_rebalance() {
    let mut sim = Sim::stable(2);
    sim.join(known("m1"));
    assert_eq!(sim.group.state(), State::PreparingRebalance);
}

#[test]
fn a_lost_answer_is_given_again_while_the_leader_assigns() {
    let mut sim = Sim::new();
    let first = sim.join(new_member());
    let again = sim.join(known("m1"));
    assert_eq!(sim.joined(first), sim.joined(again));
    assert_eq!(sim.group.state(), State::CompletingRebalance);
}

#[test]
fn a_join_that_comes_again_while_the_first_waits_replaces_it() {
    let mut sim = Sim::stable(2);
    let lost = sim.join(changed("m2"));
    let again = sim.join(changed("m2"));
    assert_eq!(sim.refused(lost), GroupError::Rebalancing);
    sim.join(known("m1"));
    assert_eq!(sim.joined(again).generation, 2);
}

#[test]
fn an_unknown_id_is_no_member_in_any_state() {
    for mut sim in [Sim::new(), Sim::stable(1)] {
        let stranger = sim.join(known("stranger"));
        assert_eq!(
            sim.joins[&stranger],
            Err(JoinRefused { member_id: "stranger".into(), error: unknown("stranger") })
        );
    }
}
