//! Scenarios over a real storage.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::committed::{Scan, StoreStats};
use super::*;
use crate::model::TopicId;
use crate::model::limits::{STATE_KEY_MAX, STATE_VALUE_MAX};
use crate::storage::tests::World;

const TASK: TaskId = TaskId { deployment: 1, generation: 1, task: 0 };
const LIMIT: Allowed = Allowed { bytes: 1 << 30, keys: 1 << 30 };

fn open(world: &World) -> TaskState {
    TaskState::open(&world.storage, TASK, LIMIT).unwrap()
}

async fn commit(world: &World, state: &mut TaskState) {
    let mut commit = Commit::new();
    state.write_into(&mut commit);
    world.storage.commit(commit).await.unwrap();
}

fn pairs(entries: &[(Bytes, Bytes)]) -> Vec<(&str, &str)> {
    let text = |b| std::str::from_utf8(b).unwrap();
    entries.iter().map(|(k, v)| (text(k), text(v))).collect()
}

#[tokio::test]
async fn a_task_sees_its_own_writes_and_nobody_else_does_before_the_commit() {
    let world = World::new();
    let mut state = open(&world);
    state.put("s", b"a", "1".into()).unwrap();
    assert_eq!(state.get("s", b"a").unwrap().unwrap(), "1");
    assert_eq!(committed::get(&world.storage, TASK, "s", b"a").unwrap().0, None);

    commit(&world, &mut state).await;
    assert_eq!(committed::get(&world.storage, TASK, "s", b"a").unwrap().0.unwrap(), "1");
    assert_eq!(open(&world).get("s", b"b").unwrap(), None);
    assert_eq!(open(&world).get("other", b"a").unwrap(), None, "stores are apart");
}

#[tokio::test]
async fn a_scan_merges_own_writes_over_what_is_committed() {
    let world = World::new();
    let mut state = open(&world);
    for key in ["a", "b", "c", "d", "e"] {
        state.put("s", key.as_bytes(), "old".into()).unwrap();
    }
    state.put("t", b"x", "other store".into()).unwrap();
    commit(&world, &mut state).await;

    state.put("s", b"b", "new".into()).unwrap();
    state.put("s", b"bb", "new".into()).unwrap();
    state.put("s", b"f", "new".into()).unwrap();
    state.delete("s", b"c").unwrap();
    state.delete("s", b"nothing").unwrap();

    let all = state.scan("s", b"", None, 100).unwrap();
    let expected = [("a", "old"), ("b", "new"), ("bb", "new"), ("d", "old"), ("e", "old"), ("f", "new")];
    assert_eq!(pairs(&all), expected);
    for limit in 0..7 {
        assert_eq!(pairs(&state.scan("s", b"", None, limit).unwrap()), expected[..limit.min(6)]);
    }
    let middle = state.scan("s", b"b", Some(b"e"), 100).unwrap();
    assert_eq!(pairs(&middle), &expected[1..4]);
    assert_eq!(state.scan("s", b"e", Some(b"b"), 100).unwrap(), []);
    assert_eq!(pairs(&state.scan("s", b"ee", None, 100).unwrap()), &expected[5..]);
}

#[tokio::test]
async fn keys_are_read_together_and_own_writes_stay() {
    let world = World::new();
    let mut state = open(&world);
    for key in ["a", "b", "c"] {
        state.put("s", key.as_bytes(), "old".into()).unwrap();
    }
    commit(&world, &mut state).await;

    let mut state = open(&world);
    state.put("s", b"b", "new".into()).unwrap();
    let keys = ["c", "none", "b", "a", "c"].map(|key| key.as_bytes().to_vec());
    let values = state.get_many("s", &keys).unwrap();
    // What is known is not looked for again.
    let mut behind = open(&world);
    behind.put("s", b"c", "later".into()).unwrap();
    commit(&world, &mut behind).await;
    assert_eq!(
        values,
        [Some("old"), None, Some("new"), Some("old"), Some("old")].map(|v| v.map(Bytes::from))
    );
    assert_eq!(state.get_many("s", &keys).unwrap(), values);
    assert_eq!(state.get_many("unknown", &keys).unwrap(), [const { None }; 5]);
    let long = vec![vec![0; STATE_KEY_MAX + 1]];
    assert!(matches!(state.get_many("s", &long), Err(Error::KeySize { .. })));
}

#[tokio::test]
async fn sizes_follow_every_change_and_the_quota_holds() {
    let world = World::new();
    let mut state = TaskState::open(&world.storage, TASK, Allowed { bytes: 20, ..LIMIT }).unwrap();
    state.put("s", b"key", vec![0; 10].into()).unwrap();
    state.put("s", b"key", vec![0; 17].into()).unwrap();
    assert_eq!(state.put("s", b"k", Bytes::new()), Err(Error::Quota { bytes: 21, limit: 20 }));
    assert_eq!(state.get("s", b"k").unwrap(), None, "nothing is changed by a refused put");
    commit(&world, &mut state).await;

    let mut state = TaskState::open(&world.storage, TASK, Allowed { bytes: 20, ..LIMIT }).unwrap();
    assert_eq!(state.put("t", b"k", Bytes::new()), Err(Error::Quota { bytes: 21, limit: 20 }));
    state.put("s", b"key", vec![0; 16].into()).unwrap();
    state.put("t", b"k", Bytes::new()).unwrap();
    state.delete("s", b"key").unwrap();
    commit(&world, &mut state).await;
    let stats = |name: &str, keys, bytes| StoreStats { name: name.into(), keys, bytes, timed: false };
    let expected = vec![stats("s", 0, 0), stats("t", 1, 1)];
    assert_eq!(committed::stores(&world.storage, TASK), Ok(expected));
}

#[tokio::test]
async fn names_keys_and_values_have_bounds() {
    let world = World::new();
    let mut state = open(&world);
    assert!(matches!(state.put("a/b", b"k", Bytes::new()), Err(Error::StoreName(_))));
    assert!(matches!(state.scan("", b"", None, 1), Err(Error::StoreName(_))));
    let long = vec![0; STATE_KEY_MAX + 1];
    let error = Error::KeySize { found: STATE_KEY_MAX + 1, limit: STATE_KEY_MAX };
    assert_eq!(state.get("s", &long), Err(error.clone()));
    assert_eq!(state.delete("s", &long), Err(error));
    let value = Bytes::from(vec![0; STATE_VALUE_MAX + 1]);
    let error = Error::ValueSize { found: STATE_VALUE_MAX + 1, limit: STATE_VALUE_MAX };
    assert_eq!(state.put("s", b"k", value), Err(error));
    let value = Bytes::from(vec![0; STATE_VALUE_MAX]);
    let refused = (0..100u32).find_map(|i| state.put("s", &i.to_be_bytes(), value.clone()).err());
    assert!(matches!(refused, Some(Error::BatchBytes { .. })), "{refused:?}");
}

#[tokio::test]
async fn positions_change_with_the_state_and_are_read_with_it() {
    let world = World::new();
    let topic = TopicId(Uuid::from_u128(7));
    let mut state = open(&world);
    for next in [5, 9] {
        state.put("s", b"count", next.to_string().into()).unwrap();
        let mut commit = Commit::new();
        state.write_into(&mut commit);
        positions::put(&mut commit, TASK, topic, 0, next);
        positions::put(&mut commit, TASK, topic, 3, next + 1);
        world.storage.commit(commit).await.unwrap();

        let expected = BTreeMap::from([((topic, 0), next), ((topic, 3), next + 1)]);
        assert_eq!(positions::load(&world.storage, TASK), Ok(expected.clone()));
        let (value, positions) = committed::get(&world.storage, TASK, "s", b"count").unwrap();
        assert_eq!((value.unwrap(), positions), (Bytes::from(next.to_string()), expected));
    }
}

#[tokio::test]
async fn committed_scans_page_in_both_directions() {
    let world = World::new();
    let mut state = open(&world);
    for key in ["a1", "b1", "b2", "b3", "b4", "c1"] {
        state.put("s", key.as_bytes(), "v".into()).unwrap();
    }
    state.put("r", b"b9", "other store".into()).unwrap();
    commit(&world, &mut state).await;

    let all = Scan { limit: 100, bytes_max: 1000, ..Scan::default() };
    let keys = |scan: &Scan| {
        let page = committed::scan(&world.storage, TASK, "s", scan, None).unwrap();
        let keys: Vec<_> =
            page.entries.iter().map(|(k, _)| String::from_utf8_lossy(k).into_owned()).collect();
        (keys.join(" "), page.more)
    };
    let b = Scan { prefix: "b".into(), ..all.clone() };
    let cases = [
        (all.clone(), "a1 b1 b2 b3 b4 c1", false),
        (b.clone(), "b1 b2 b3 b4", false),
        (Scan { reverse: true, ..b.clone() }, "b4 b3 b2 b1", false),
        (Scan { limit: 2, ..b.clone() }, "b1 b2", true),
        (Scan { limit: 2, after_key: Some("b2".into()), ..b.clone() }, "b3 b4", false),
        (Scan { limit: 2, reverse: true, after_key: Some("b3".into()), ..b.clone() }, "b2 b1", false),
        (Scan { from: Some("b2".into()), to: Some("b4".into()), ..all.clone() }, "b2 b3", false),
        (Scan { from: Some("c".into()), to: Some("b".into()), ..all.clone() }, "", false),
        (Scan { bytes_max: 7, ..all.clone() }, "a1 b1", true),
        (Scan { bytes_max: 0, ..all }, "a1", true),
    ];
    for (scan, expected, more) in cases {
        assert_eq!(keys(&scan), (expected.to_owned(), more), "{scan:?}");
    }
}

#[tokio::test]
async fn clearing_takes_what_it_names_and_nothing_else() {
    let world = World::new();
    let ids = [(1, 1, 0), (1, 1, 1), (1, 2, 0), (2, 1, 0), (u32::MAX, u32::MAX, u32::MAX)];
    let ids = ids.map(|(deployment, generation, task)| TaskId { deployment, generation, task });
    let left = || {
        let stored = |id: &&TaskId| !committed::stores(&world.storage, **id).unwrap().is_empty();
        ids.iter().filter(stored).copied().collect::<Vec<_>>()
    };
    for id in ids {
        let mut state = TaskState::open(&world.storage, id, LIMIT).unwrap();
        state.put("s", b"k", "v".into()).unwrap();
        commit(&world, &mut state).await;
    }
    let clear = async |fill: &dyn Fn(&mut Commit)| {
        let mut commit = Commit::new();
        fill(&mut commit);
        world.storage.commit(commit).await.unwrap();
        left()
    };
    assert_eq!(clear(&|c| clear_generation(c, 1, 1)).await, [ids[2], ids[3], ids[4]]);
    assert_eq!(clear(&|c| clear_deployment(c, 1)).await, [ids[3], ids[4]]);
    assert_eq!(clear(&|c| clear_deployment(c, u32::MAX)).await, [ids[3]]);
    assert_eq!(committed::get(&world.storage, ids[3], "s", b"k").unwrap().0.unwrap(), "v");
    assert_eq!(committed::get(&world.storage, ids[0], "s", b"k").unwrap().0, None);
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    Get(u8),
    Scan(u8, u8, usize),
    Commit,
    /// into a commit that is under way
    Submit,
    /// the oldest one is made
    Make,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..12u8;
    let step = prop_oneof![
        4 => (key(), any::<u8>()).prop_map(|(k, v)| Step::Put(k, v)),
        2 => key().prop_map(Step::Delete),
        2 => key().prop_map(Step::Get),
        2 => (key(), key(), 0..6usize).prop_map(|(a, b, n)| Step::Scan(a, b, n)),
        1 => Just(Step::Commit),
        2 => Just(Step::Submit),
        2 => Just(Step::Make),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Against a map and its committed copy.
    #[test]
    fn a_store_behaves_as_an_ordered_map(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let world = World::new();
        let mut state = open(&world);
        let mut model = BTreeMap::<u8, u8>::new();
        let mut kept = model.clone();
        let mut under_way = VecDeque::new();
        let make = |state: &mut TaskState, (commit, then): (Commit, BTreeMap<u8, u8>)| {
            runtime.block_on(world.storage.commit(commit)).unwrap();
            state.committed();
            then
        };
        for step in steps {
            match step {
                Step::Put(k, v) => {
                    state.put("s", &[k], vec![v].into()).unwrap();
                    model.insert(k, v);
                }
                Step::Delete(k) => {
                    state.delete("s", &[k]).unwrap();
                    model.remove(&k);
                }
                Step::Get(k) => {
                    let found = state.get("s", &[k]).unwrap().map(|v| v[0]);
                    prop_assert_eq!(found, model.get(&k).copied());
                }
                Step::Scan(a, b, n) => {
                    let found = state.scan("s", &[a], Some(&[b]), n).unwrap();
                    let found: Vec<_> = found.iter().map(|(k, v)| (k[0], v[0])).collect();
                    let within = model.iter().filter(|(k, _)| (a..b).contains(*k));
                    let expected: Vec<_> = within.take(n).map(|(k, v)| (*k, *v)).collect();
                    prop_assert_eq!(found, expected);
                }
                Step::Submit => {
                    let mut commit = Commit::new();
                    state.write_ahead(&mut commit);
                    under_way.push_back((commit, model.clone()));
                }
                Step::Make => {
                    if let Some(oldest) = under_way.pop_front() {
                        kept = make(&mut state, oldest);
                    }
                }
                Step::Commit => {
                    while let Some(oldest) = under_way.pop_front() {
                        make(&mut state, oldest);
                    }
                    runtime.block_on(commit(&world, &mut state));
                    kept = model.clone();
                }
                Step::Reopen => {
                    under_way.clear();
                    state = open(&world);
                    model = kept.clone();
                }
            }
        }
        while let Some(oldest) = under_way.pop_front() {
            make(&mut state, oldest);
        }
        runtime.block_on(commit(&world, &mut state));
        let stats = committed::stores(&world.storage, TASK).unwrap();
        let found = stats.first().map_or((0, 0), |s| (s.keys, s.bytes));
        prop_assert_eq!(found, (model.len() as u64, 2 * model.len() as u64));
    }
}

#[tokio::test]
async fn a_scratch_stays_at_its_moment_and_keeps_what_is_settled_to_itself() {
    let world = World::new();
    let mut state = open(&world);
    for key in ["a", "b", "c"] {
        state.put("s", key.as_bytes(), "old".into()).unwrap();
    }
    commit(&world, &mut state).await;
    let scratch = Scratch::pinned(TASK, world.storage.pin_state());
    state.put("s", b"d", "later".into()).unwrap();
    commit(&world, &mut state).await;

    let mut own = scratch.open(LIMIT, Ttls::default()).unwrap();
    own.put("s", b"aa", "new".into()).unwrap();
    own.put("s", b"c", "new".into()).unwrap();
    own.delete("s", b"b").unwrap();
    own.settle();
    own.put("s", b"lost", "with its state".into()).unwrap();
    let mut again = scratch.open(LIMIT, Ttls::default()).unwrap();
    let entries = again.scan("s", b"", None, 10).unwrap();
    assert_eq!(pairs(&entries), [("a", "old"), ("aa", "new"), ("c", "new")]);
    assert_eq!(again.get("s", b"b").unwrap(), None);
    assert_eq!(pairs(&again.scan("s", b"aa", Some(b"c"), 10).unwrap()), [("aa", "new")]);

    let max = ChangesMax { entries: 2, bytes: 1 << 20 };
    let changes = scratch.changes(max).unwrap();
    let told: Vec<_> =
        changes.entries.iter().map(|c| (&c.key[..], c.before.is_some(), c.after.is_some())).collect();
    assert_eq!(told, [(&b"aa"[..], false, true), (b"b", true, false)]);
    assert!(changes.more, "of c");

    let other = Scratch::pinned(TASK, world.storage.pin_state());
    let all = ChangesMax { entries: 10, bytes: 1 << 20 };
    assert_eq!(scratch.differences(&scratch.clone(), all).unwrap().entries, []);
    assert_eq!(scratch.differences(&other, all).unwrap().entries.len(), 3);
    assert_eq!(committed::get(&world.storage, TASK, "s", b"c").unwrap().0.unwrap(), "old");
}

#[tokio::test]
async fn pinned_state_stays_at_its_moment_and_is_not_changed() {
    let world = World::new();
    let mut state = open(&world);
    for key in ["a", "b"] {
        state.put("s", key.as_bytes(), "old".into()).unwrap();
    }
    state.set_timer(TimerClock::Wall, b"t", 5).unwrap();
    commit(&world, &mut state).await;
    let mut pinned = TaskState::pinned(world.storage.pin_state(), TASK, Ttls::default()).unwrap();
    state.put("s", b"a", "new".into()).unwrap();
    state.delete("s", b"b").unwrap();
    commit(&world, &mut state).await;

    let keys = ["a", "c", "b"].map(|key| key.as_bytes().to_vec());
    let values = [Some("old".into()), None, Some("old".into())];
    assert_eq!(pinned.get_many("s", &keys).unwrap(), values);
    assert_eq!(keys.map(|key| pinned.get("s", &key).unwrap()), values);
    assert_eq!(pinned.get_many("t", &[b"a".to_vec()]).unwrap(), [None]);
    assert_eq!(pairs(&pinned.scan("s", b"", None, 10).unwrap()), [("a", "old"), ("b", "old")]);
    assert_eq!(pinned.put("s", b"a", "x".into()), Err(Error::Pinned));
    assert_eq!(pinned.delete("s", b"not there"), Err(Error::Pinned));
    assert_eq!(pinned.set_timer(TimerClock::Wall, b"t", 5), Err(Error::Pinned));
    assert_eq!(pinned.cancel_timer(TimerClock::Wall, b"not there"), Err(Error::Pinned));
    let mut after = TaskState::pinned(world.storage.pin_state(), TASK, Ttls::default()).unwrap();
    assert_eq!(pairs(&after.scan("s", b"", None, 10).unwrap()), [("a", "new")]);
}

#[test]
fn given_entries_count_against_the_quota() {
    let given = Given::from([("s".to_owned(), BTreeMap::from([(b"k".to_vec(), Bytes::from("12345"))]))]);
    let mut state =
        Scratch::given(TASK, given).unwrap().open(Allowed { bytes: 10, ..LIMIT }, Ttls::default()).unwrap();
    assert_eq!(state.get("s", b"k").unwrap().unwrap(), "12345");
    assert!(matches!(state.put("s", b"l", "1234".into()), Err(Error::Quota { bytes: 11, limit: 10 })));
}

/// A state whose store `s` forgets after a hundred milliseconds.
fn open_timed(world: &World, now_ms: i64) -> TaskState {
    let mut state = open(world).timed(Ttls(BTreeMap::from([("s".into(), 100)]))).unwrap();
    state.begin(now_ms);
    state
}

#[tokio::test]
async fn what_has_expired_is_seen_by_nobody_before_it_is_removed() {
    let world = World::new();
    let mut state = open_timed(&world, 1_000);
    for key in ["a", "b", "c"] {
        state.put("s", key.as_bytes(), "old".into()).unwrap();
        state.put("kept", key.as_bytes(), "old".into()).unwrap();
    }
    commit(&world, &mut state).await;
    state.begin(1_050);
    state.put("s", b"b", "new".into()).unwrap();
    commit(&world, &mut state).await;

    for mut state in [state, open_timed(&world, 0)] {
        state.begin(1_100);
        assert_eq!(state.get("s", b"a"), Ok(None));
        assert_eq!(state.get("s", b"b"), Ok(Some("new".into())));
        assert_eq!(pairs(&state.scan("s", b"", None, 9).unwrap()), [("b", "new")]);
        state.put("s", b"d", "own".into()).unwrap();
        assert_eq!(pairs(&state.scan("s", b"", None, 9).unwrap()), [("b", "new"), ("d", "own")]);
        assert_eq!(state.scan("kept", b"", None, 9).unwrap().len(), 3);
    }
    let expiry = |now_ms| Some(Expiry { ttl_ms: 100, now_ms });
    let scan = Scan { limit: 9, bytes_max: 1 << 20, ..Scan::default() };
    let seen = |now_ms| {
        let mut room = 1 << 20;
        let keys = [b"a", b"b"];
        let (values, _) =
            committed::get_many(&world.storage, TASK, "s", &keys, &[], expiry(now_ms), &mut room)
                .unwrap()
                .unwrap();
        let page = committed::scan(&world.storage, TASK, "s", &scan, expiry(now_ms)).unwrap();
        (values.iter().flatten().count(), page.entries.len())
    };
    assert_eq!([seen(1_099), seen(1_100), seen(1_150)], [(2, 3), (1, 1), (0, 0)]);
}

#[tokio::test]
async fn removal_takes_only_what_has_expired_and_gives_its_room_back() {
    let world = World::new();
    let mut state = open_timed(&world, 1_000);
    for n in 0..10u8 {
        state.put("s", &[n], vec![0; 9].into()).unwrap();
    }
    commit(&world, &mut state).await;
    state.begin(1_050);
    state.put("s", &[3], vec![0; 9].into()).unwrap();
    commit(&world, &mut state).await;
    let stats = |keys, bytes| vec![StoreStats { name: "s".into(), keys, bytes, timed: true }];
    assert_eq!(
        committed::stores(&world.storage, TASK),
        Ok(stats(10, 100)),
        "the code's bytes alone are counted"
    );

    let expiry = Expiry { ttl_ms: 100, now_ms: 1_120 };
    let find =
        |after: Option<&[u8]>| committed::expired(&world.storage, TASK, "s", after, expiry, 6).unwrap();
    let first = find(None);
    assert_eq!((first.keys.len(), first.next.as_deref()), (5, Some(&[5][..])));
    let rest = find(first.next.as_deref());
    assert_eq!((rest.keys.len(), rest.next), (4, None));

    // What was written again in between stays, whatever was found before.
    state.begin(1_120);
    state.put("s", &[0], vec![0; 9].into()).unwrap();
    state.remove_expired("s", &first.keys).unwrap();
    state.remove_expired("s", &rest.keys).unwrap();
    commit(&world, &mut state).await;
    assert_eq!(committed::stores(&world.storage, TASK), Ok(stats(2, 20)));
    let mut again = open_timed(&world, 1_120);
    let keys: Vec<_> = again.scan("s", b"", None, 99).unwrap().into_iter().map(|(key, _)| key[0]).collect();
    assert_eq!(keys, [0, 3]);
}

#[tokio::test]
async fn a_store_with_keys_keeps_its_kind_and_an_empty_one_may_change_it() {
    let world = World::new();
    let mut state = open(&world);
    state.put("s", b"a", "v".into()).unwrap();
    commit(&world, &mut state).await;
    let ttls = || Ttls(BTreeMap::from([("s".into(), 100)]));
    let refused = open(&world).timed(ttls()).unwrap_err();
    assert_eq!(refused, Error::Kind { store: "s".into(), timed: false });

    let mut state = open(&world);
    state.delete("s", b"a").unwrap();
    commit(&world, &mut state).await;
    let mut state = open_timed(&world, 1);
    state.put("s", b"a", "v".into()).unwrap();
    commit(&world, &mut state).await;
    let refused = open(&world).timed(Ttls::default()).unwrap_err();
    assert_eq!(refused, Error::Kind { store: "s".into(), timed: true });
    // Another length is no other kind, and holds for what is there.
    let mut longer = open(&world).timed(Ttls(BTreeMap::from([("s".into(), 1_000)]))).unwrap();
    longer.begin(500);
    assert_eq!(longer.get("s", b"a"), Ok(Some("v".into())));
}

#[tokio::test]
async fn a_cursor_is_of_its_generation_and_goes_with_it() {
    let world = World::new();
    assert_eq!(cursor::load(&world.storage, TASK), Ok(None));
    let mut commit = Commit::new();
    cursor::put(&mut commit, TASK, b"page 7");
    world.storage.commit(commit).await.unwrap();
    assert_eq!(cursor::load(&world.storage, TASK), Ok(Some("page 7".into())));
    assert_eq!(cursor::load(&world.storage, TaskId { generation: 2, ..TASK }), Ok(None));
    assert_eq!(positions::load(&world.storage, TASK), Ok(BTreeMap::new()), "it is no position");

    let mut commit = Commit::new();
    clear_generation(&mut commit, TASK.deployment, TASK.generation);
    world.storage.commit(commit).await.unwrap();
    assert_eq!(cursor::load(&world.storage, TASK), Ok(None));
}
