//! Random events: whatever members do, nobody waits for ever and the group stays of one mind.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    JoinNew { needs_known_id: bool, instance: Option<u8> },
    JoinAgain { member: u8, changed: bool },
    Sync { member: u8, past: bool },
    Stored { ok: bool },
    Heartbeat { member: u8 },
    Leave { member: u8 },
    Expel,
    Advance { ms: i64 },
}

fn event() -> impl Strategy<Value = Event> {
    let member = 0..12u8;
    prop_oneof![
        4 => (any::<bool>(), proptest::option::of(0..3u8))
            .prop_map(|(needs_known_id, instance)| Event::JoinNew { needs_known_id, instance }),
        6 => (member.clone(), any::<bool>()).prop_map(|(member, changed)| Event::JoinAgain { member, changed }),
        8 => (member.clone(), proptest::bool::weighted(0.1)).prop_map(|(member, past)| Event::Sync { member, past }),
        4 => proptest::bool::weighted(0.8).prop_map(|ok| Event::Stored { ok }),
        4 => member.clone().prop_map(|member| Event::Heartbeat { member }),
        1 => member.prop_map(|member| Event::Leave { member }),
        1 => Just(Event::Expel),
        3 => (0..20_000i64).prop_map(|ms| Event::Advance { ms }),
    ]
}

impl Sim {
    /// A member that is, was, or will be one.
    fn pick(&self, member: u8) -> (MemberId, Option<Arc<str>>) {
        let ids: Vec<_> = self.group.members.keys().chain(self.group.pending.keys()).cloned().collect();
        let id = ids.get(usize::from(member)).cloned().unwrap_or_else(|| format!("m{member}").into());
        let instance = self.group.members.get(&id).and_then(|m| m.instance_id.clone());
        (id, instance)
    }

    #[expect(clippy::needless_pass_by_value, reason = "an event is played once")]
    fn play(&mut self, event: Event) {
        match event {
            Event::JoinNew { needs_known_id, instance } => {
                let instance_id = instance.map(|i| format!("i{i}").into());
                self.join(Join { needs_known_id, instance_id, ..new_member() });
            }
            Event::JoinAgain { member, changed } => {
                let (id, instance_id) = self.pick(member);
                let join = if changed { super::changed(&id) } else { known(&id) };
                self.join(Join { instance_id, ..join });
            }
            Event::Sync { member, past } => {
                let (id, instance_id) = self.pick(member);
                let generation = self.group.generation() - i32::from(past);
                self.sync_as(SyncRequest { instance_id, ..sync(&id, generation) });
            }
            Event::Stored { ok } => self.stored(if ok { Ok(()) } else { Err(GroupError::Closed) }),
            Event::Heartbeat { member } => {
                let (id, _) = self.pick(member);
                let _ = self.heartbeat(&id, self.group.generation());
            }
            Event::Leave { member } => {
                let (id, _) = self.pick(member);
                let _ = self.leave(&id);
            }
            Event::Expel => {
                self.group.handle_expel(self.now());
                self.settle();
            }
            Event::Advance { ms } => self.advance(ms),
        }
    }

    fn check(&self) {
        let group = &self.group;
        let is_empty = group.members.is_empty();
        match group.state {
            State::Empty => assert!(is_empty && group.leader.is_none()),
            State::CompletingRebalance | State::Stable => assert!(!is_empty && group.protocol.is_some()),
            State::PreparingRebalance => assert!(group.join_timer.is_some(), "nothing ends the wait"),
            State::Dead => unreachable!("nobody deletes it"),
        }
        assert_eq!(group.leader.is_some(), !is_empty);
        assert!(group.leader.iter().all(|id| group.members.contains_key(id)));
        for (instance, id) in &group.statics {
            assert_eq!(group.members[id].instance_id.as_ref(), Some(instance));
        }
        let statics = group.members.values().filter(|m| m.is_static()).count();
        assert_eq!(statics, group.statics.len());
        assert!(group.unsynced.iter().all(|id| group.members.contains_key(id)));
        assert!(group.pending.keys().all(|id| !group.members.contains_key(id)));
        for member in group.members.values() {
            let waits = member.join.is_some() || member.sync.is_some();
            assert!(waits || member.session_ends.is_some(), "{} never ends", member.id);
        }
    }
}

proptest! {
    #[test]
    fn every_request_is_answered_once_and_an_abandoned_group_becomes_empty(
        events in proptest::collection::vec(event(), 0..120),
        initial_delay_ms in prop_oneof![Just(0), Just(DELAY)],
    ) {
        let mut sim = Sim::with(Rules { initial_delay_ms, new_member_wait_ms: 30_000, members_max: 5 });
        for event in events {
            sim.play(event);
            sim.check();
        }
        // Everybody goes away; what was being stored is stored.
        for _ in 0..20 {
            while !sim.group.storing.is_empty() {
                sim.stored(Ok(()));
            }
            sim.advance(REBALANCE);
            sim.check();
        }
        prop_assert_eq!(sim.group.state(), State::Empty);
        prop_assert!(sim.group.is_deserted());
        prop_assert_eq!(sim.group.next_deadline(), None);
        prop_assert_eq!(sim.joins.len() + sim.syncs.len(), sim.tickets as usize, "a request waits for ever");
    }
}
