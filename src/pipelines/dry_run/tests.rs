//! Runs of small components, and what becomes of records that fail.

use serde_json::json;

use super::*;
use crate::state::{ChangesMax, TaskId};
use crate::storage::tests::World;
use crate::wasm::LogLevel;
use crate::wasm::tests::example;

struct Silent;

impl LogSink for Silent {
    fn write(&self, _: LogLevel, _: String) {}
}

async fn run(guest: &str, spec: serde_json::Value, at_fault: AtFault, values: &[&str]) -> (Report, Scratch) {
    let mut spec = spec;
    for (name, value) in
        [("name", json!("d")), ("module", json!(guest)), ("input", json!({"topics": ["in"]}))]
    {
        spec[name] = value;
    }
    let spec = serde_json::from_value(spec).unwrap();
    let component = example(guest);
    let task = TaskId { deployment: 0, generation: 0, task: 0 };
    let (state, log) = (Scratch::empty(task), Arc::new(Silent));
    let run = DryRun {
        component: &component,
        spec: &spec,
        log,
        state: &state,
        clock: &Clock::system(),
        at_fault,
        strict: false,
        bytes_max: 1 << 20,
        flush: true,
    };
    let sample = |(offset, value): (u64, &&str)| {
        let value = Some(value.as_bytes().to_vec().into());
        Sample { topic: 0, partition: 0, offset, record: Record { value, ..Record::default() } }
    };
    let samples: Vec<_> = (0..).zip(values).map(sample).collect();
    let report = run.run(&samples).await;
    (report, state)
}

pub(super) fn texts(entries: &[Entry]) -> Vec<String> {
    let text =
        |bytes: &Option<bytes::Bytes>| String::from_utf8(bytes.clone().unwrap_or_default().to_vec()).unwrap();
    let of = |entry: &Entry| match entry {
        Entry::Stored { record, .. } => format!("{}={}", text(&record.key), text(&record.value)),
        Entry::Rejected(reason) => format!("rejected {reason}"),
        Entry::Failed(reason) => format!("failed {reason}"),
    };
    entries.iter().map(of).collect()
}

#[tokio::test]
async fn a_transforms_records_and_rejections_stand_in_order() {
    let spec = json!({"kind": "inline"});
    let (report, _) = run("template", spec, AtFault::End, &["a", "heartbeat", "", "b"]).await;
    assert_eq!(texts(&report.entries), ["=A", "rejected the value is empty", "=B"]);
    let reject = Verdict::Reject("the value is empty".to_owned());
    let expected = [Verdict::Emit, Verdict::Drop, reject, Verdict::Emit].map(Some);
    assert_eq!(report.verdicts, expected);
}

#[tokio::test]
async fn a_processor_keeps_its_state_from_batch_to_batch() {
    let spec = json!({"kind": "processor", "limits": {"batch": {"records": 1}}});
    let (report, state) = run("word-count", spec, AtFault::End, &["a b", "a"]).await;
    assert_eq!(texts(&report.entries), ["a=1", "b=1", "a=2"]);
    let changes = state.changes(ChangesMax { entries: 10, bytes: 1 << 20 }).unwrap();
    let keys: Vec<_> = changes.entries.iter().map(|c| (&c.key[..], c.before.is_none())).collect();
    assert_eq!(keys, [(&b"a"[..], true), (b"b", true)]);
}

#[tokio::test]
async fn what_has_expired_is_gone_for_the_next_call() {
    let spec = json!({
        "name": "d", "kind": "processor", "module": "word-count", "input": { "topics": ["in"] },
        "state": { "stores": [{ "name": "counts", "ttl": "1s" }] }
    });
    let (spec, component) = (serde_json::from_value(spec).unwrap(), example("word-count"));
    let task = TaskId { deployment: 0, generation: 0, task: 0 };
    // Without a task's committed state nothing expires.
    let world = World::new();
    let state = Scratch::pinned(task, world.storage.pin_state());
    let log = Arc::new(Silent);
    let (clock, time) = Clock::manual(1_000_000);
    let run = DryRun {
        component: &component,
        spec: &spec,
        log,
        state: &state,
        clock: &clock,
        at_fault: AtFault::End,
        strict: false,
        bytes_max: 1 << 20,
        flush: false,
    };
    let record = Record { value: Some("a".into()), ..Record::default() };
    let samples = [Sample { topic: 0, partition: 0, offset: 0, record }];
    let mut live = None;
    let mut counted = async |ms| {
        time.advance_ms(ms);
        texts(&run.go_on(&mut live, &mut None, &samples).await.entries)
    };
    assert_eq!(counted(0).await, ["a=1"]);
    assert_eq!(counted(500).await, ["a=2"]);
    assert_eq!(counted(1_001).await, ["a=1"]);
}

#[tokio::test]
async fn the_record_that_traps_is_found_in_its_batch() {
    let values = ["a", "b", "misbehave", "c"];
    let (report, _) = run("trap", json!({"kind": "processor"}), AtFault::End, &values).await;
    let failed = report.failed.unwrap();
    assert_eq!(failed.sample, Some(2));
    assert!(matches!(failed.fault, Fault::Trap { .. }), "{}", failed.fault);
    assert_eq!(report.verdicts[3], None, "it was not reached");

    let (report, _) = run("trap", json!({"kind": "processor"}), AtFault::GoOn, &values).await;
    assert!(report.failed.is_none());
    assert_eq!(texts(&report.entries), ["=a", "=b", "=c"]);
}
