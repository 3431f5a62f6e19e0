//! Specs as users write them: their defaults, and what is wrong with them.

use super::*;

fn spec(json: serde_json::Value) -> DeploymentSpec {
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_small_spec_has_the_documented_defaults() {
    let spec = spec(serde_json::json!({
        "name": "wc", "kind": "processor", "module": "word-count",
        "input": { "topics": ["text"] }, "output": { "default": "counts" }, "params": { "top": 5, "on": true }
    }));
    assert_eq!(spec.problems(), []);
    assert_eq!(spec.params["top"], "5");
    assert_eq!(spec.limits.memory, 64 << 20);
    assert_eq!(spec.on_error.policy, OnErrorPolicy::Stop);
    assert_eq!(spec.dead_letter_topic().as_str(), "wc.dlq");
    let again: DeploymentSpec = serde_json::from_value(serde_json::to_value(&spec).unwrap()).unwrap();
    assert_eq!(again, spec);
}

#[test]
fn a_source_is_polled_and_reads_no_topic() {
    let source = |more: serde_json::Value| {
        let mut whole = serde_json::json!({
            "name": "s", "kind": "source", "module": "m", "output": { "default": "out" }
        });
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec(whole)
    };
    let fine = source(serde_json::json!({}));
    assert_eq!((fine.problems(), fine.interval()), (vec![], Duration::from_secs(10)));
    let again = serde_json::to_value(&fine).unwrap();
    assert_eq!(again.get("input"), None);
    assert_eq!(serde_json::from_value::<DeploymentSpec>(again).unwrap(), fine);

    let bad = source(serde_json::json!({
        "input": { "topics": ["a"] }, "output": {}, "source": { "interval": "1ms" },
        "on_error": { "policy": "dead_letter" }, "state": { "stores": [{ "name": "s" }] }
    }));
    let places: Vec<_> = bad.problems().into_iter().map(|p| p.pointer).collect();
    assert_eq!(places, ["/source/interval", "/input", "/output", "/on_error/policy", "/state/stores"]);
    let polled = spec(serde_json::json!({
        "name": "p", "kind": "processor", "module": "m", "source": {}
    }));
    let places: Vec<_> = polled.problems().into_iter().map(|p| p.pointer).collect();
    assert_eq!(places, ["/source", "/input/topics"]);
}

#[test]
fn every_problem_is_named_with_its_place() {
    let spec = spec(serde_json::json!({
        "name": "x", "kind": "inline", "module": "m@newest",
        "input": { "topics": ["a", "b"] }, "output": { "default": "a" },
        "limits": { "memory": "1KiB", "cpu": "1h" }
    }));
    let places: Vec<_> = spec.problems().into_iter().map(|p| p.pointer).collect();
    let expected =
        ["/module", "/input/topics", "/output/default", "/output", "/limits/memory", "/limits/cpu"];
    assert_eq!(places, expected);
}
