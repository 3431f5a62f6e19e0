//! Random events: no partition is ever owned by two members, and a group that is left alone converges.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    /// does what it was told, and says what it owns
    Beat {
        client: usize,
    },
    /// says that it lives
    Live {
        client: usize,
    },
    /// the answer is lost
    Lost {
        client: usize,
    },
    /// subscribes to something else
    Subscribe {
        client: usize,
        what: u8,
    },
    Leave {
        client: usize,
    },
    /// a static member leaves for a while, and comes back as another
    Away {
        client: usize,
    },
    Create {
        topic: usize,
        more: Partition,
    },
    Delete {
        topic: usize,
    },
    Advance {
        ms: i64,
    },
    Restart,
    Expel,
}

const CLIENTS: usize = 5;
const NAMES: [&str; 3] = ["orders", "clicks", "ordeal"];

fn event() -> impl Strategy<Value = Event> {
    let client = 0..CLIENTS;
    prop_oneof![
        12 => client.clone().prop_map(|client| Event::Beat { client }),
        6 => client.clone().prop_map(|client| Event::Live { client }),
        4 => client.clone().prop_map(|client| Event::Lost { client }),
        2 => (client.clone(), 0..4u8).prop_map(|(client, what)| Event::Subscribe { client, what }),
        1 => client.clone().prop_map(|client| Event::Leave { client }),
        2 => client.prop_map(|client| Event::Away { client }),
        2 => (0..3usize, 0..3u32).prop_map(|(topic, more)| Event::Create { topic, more }),
        1 => (0..3usize).prop_map(|topic| Event::Delete { topic }),
        4 => (0..25_000i64).prop_map(|ms| Event::Advance { ms }),
        1 => Just(Event::Restart),
        1 => Just(Event::Expel),
    ]
}

struct World {
    sim: Sim,
    clients: Vec<Client>,
    /// for ids that were never used
    number: usize,
}

impl World {
    fn new() -> Self {
        let client = |number: usize| {
            let mut client = Client::new(&format!("m{number}"));
            // Two of them are static.
            client.beat.instance_id = (number < 2).then(|| format!("i{number}").into());
            client.beat.assignor = (number == 4).then_some(Assignor::Range);
            client
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { sim: Sim::new(&[("orders", 4)]), clients, number: CLIENTS }
    }

    fn play(&mut self, event: &Event) {
        let Self { sim, clients, number } = self;
        match *event {
            Event::Beat { client } => drop(clients[client].beat(sim)),
            Event::Live { client } if clients[client].beat.epoch > 0 => drop(clients[client].live(sim)),
            Event::Live { .. } => {}
            Event::Lost { client } => {
                let mut twin = clients[client].clone();
                let _ = twin.beat(sim);
                // It has said what it owns, so it does not own what it gave up to say so.
                clients[client].owned = clients[client].told.clone();
            }
            Event::Subscribe { client, what } => {
                let beat = &mut clients[client].beat;
                let names: &[&str] =
                    [&["orders"][..], &["orders", "clicks"], &[], &["clicks"]][what as usize];
                beat.topics = Some(names.iter().map(|name| Arc::from(*name)).collect());
                beat.pattern = Some(if what == 2 { "ord.*" } else { "" }.into());
            }
            Event::Leave { client } => {
                let leaving = &clients[client].beat;
                let _ = sim.beat(&Heartbeat { epoch: LEAVES, ..leaving.clone() });
                clients[client].give_up();
            }
            Event::Away { client } if clients[client].beat.instance_id.is_some() => {
                let leaving = &clients[client].beat;
                let _ = sim.beat(&Heartbeat { epoch: LEAVES_FOR_A_WHILE, ..leaving.clone() });
                clients[client].give_up();
                clients[client].beat.member_id = format!("m{number}").into();
                *number += 1;
            }
            Event::Away { .. } => {}
            Event::Create { topic, more } => {
                let before = sim.topics.get(NAMES[topic]).map_or(0, |(_, partitions)| *partitions);
                sim.create(NAMES[topic], (before + more).clamp(1, 8));
            }
            Event::Delete { topic } => sim.delete(NAMES[topic]),
            Event::Advance { ms } => sim.advance(ms),
            Event::Restart => sim.restart(),
            Event::Expel => sim.group.handle_expel(),
        }
    }

    fn check(&self) {
        let group = &self.sim.group;
        let mut held = BTreeMap::new();
        for member in group.members() {
            assert!(!member.assigned.overlaps(&member.revoking), "{member:?}");
            assert_eq!(member.progress == Progress::Unrevoked, member.revocation_ends.is_some());
            for at in member.assigned.iter().chain(member.revoking.iter()) {
                assert_eq!(held.insert(at, member.id.clone()), None, "{at:?} is held by two");
            }
        }
        assert_eq!(group.holders.len(), held.len());
        assert!(held.iter().all(|(at, id)| group.holders.get(at) == Some(id)));
        let statics = group.members().filter(|m| m.instance_id.is_some()).count();
        assert_eq!(statics, group.statics.len());

        // What clients work on, as far as they are members, is theirs.
        for client in &self.clients {
            let Some(member) = group.members.get(&client.beat.member_id) else { continue };
            let knows = [member.epoch, member.previous_epoch].contains(&client.beat.epoch);
            if client.beat.epoch > 0 && knows {
                for (topic, partition) in client.owned.iter() {
                    let is_its = member.assigned.contains(topic, partition)
                        || member.revoking.contains(topic, partition);
                    assert!(is_its, "{client:?} works on what is not its: {member:?}");
                }
            }
        }
    }

    /// Everybody is there and does what it should, for some minutes.
    fn calm(&mut self) {
        for _ in 0..40 {
            for client in 0..CLIENTS {
                self.play(&Event::Beat { client });
                self.check();
            }
            self.sim.advance(5_000);
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_owned_twice_and_a_group_left_alone_converges(
        events in proptest::collection::vec(event(), 0..150),
    ) {
        let mut world = World::new();
        for event in &events {
            world.play(event);
            world.check();
        }
        world.calm();
        let group = &world.sim.group;
        prop_assert_eq!(group.state(), State::Stable);
        prop_assert_eq!(group.members().len(), CLIENTS);
        let mut all = BTreeSet::new();
        for client in &world.clients {
            let member = world.sim.member(&client.beat.member_id);
            prop_assert_eq!(&client.owned, &member.target);
            all.extend(client.owned.iter());
        }
        let wanted: u32 = group.subscribed.values().sum();
        prop_assert_eq!(all.len(), wanted as usize, "somebody reads everything that is subscribed to");
        // A row that is read back is the group.
        let snapshot = group.snapshot();
        world.sim.restart();
        prop_assert_eq!(world.sim.group.snapshot().subscribed, snapshot.subscribed);
    }
}
