//! Pure: what a spec asks of the other deployments and of its own past. No async, no lock, no clock.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::error::Clash;
use crate::model::deployment::{Deployment, DeploymentKind, DeploymentSpec, Desired};
use crate::model::limits::CHAIN_MAX;

/// Any value of JSON, for the OpenAPI document.
fn any_json() -> utoipa::openapi::Object {
    utoipa::openapi::Object::with_type(utoipa::openapi::schema::SchemaType::AnyValue)
}

/// A difference between two specs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Change {
    /// JSON pointer into the spec
    pub pointer: String,
    /// null: it was not there
    #[schema(schema_with = any_json)]
    pub from: Value,
    /// null: it is not there any more
    #[schema(schema_with = any_json)]
    pub to: Value,
}

/// Why a spec cannot live with the others, if it cannot.
pub(super) fn conflict<'a>(
    spec: &DeploymentSpec,
    past: Option<&Deployment>,
    others: impl IntoIterator<Item = &'a Deployment>,
) -> Option<(Clash, String)> {
    let past_says = |detail: String| Some((Clash::Past, detail));
    if let Some(past) = past {
        if past.spec.kind != spec.kind {
            let (from, to) = (past.spec.kind.as_str(), spec.kind.as_str());
            return past_says(format!(
                "deployment `{}` is {from} and cannot become {to}; {}",
                spec.name,
                delete_first(past)
            ));
        }
        let moves = past.spec.input.topics != spec.input.topics;
        if spec.kind.has_tasks() && moves {
            let (kind, name) = (spec.kind.as_str(), &spec.name);
            return past_says(format!(
                "the input topics of {kind} `{name}` cannot change, for its positions and its state belong to their \
                 partitions; {}, or deploy under another name",
                delete_first(past)
            ));
        }
        if !past.spec.internal.keys().eq(spec.internal.keys()) {
            return past_says(format!(
                "the internal topics of processor `{}` cannot change, also where its state is cleared, for the records \
                 in them are part of it; delete it with its state first, or deploy under another name",
                spec.name
            ));
        }
        if spec.kind == DeploymentKind::View && moves {
            return past_says(format!(
                "the input topic of view `{}` cannot change, for what groups have committed of it are offsets of that \
                 topic; delete it and deploy it again, or deploy under another name",
                spec.name
            ));
        }
    }
    if spec.kind != DeploymentKind::Inline {
        return None;
    }
    let others: Vec<_> = others.into_iter().collect();
    let on_topic = |other: &&&Deployment| {
        let it = &other.spec;
        it.kind == DeploymentKind::Inline
            && other.desired != Desired::Retired
            && it.name != spec.name
            && it.input.topics == spec.input.topics
    };
    let chain = others.iter().filter(on_topic).count();
    if chain >= CHAIN_MAX {
        return Some((
            Clash::Chain,
            format!("{chain} transforms run on the topic already, which is the most"),
        ));
    }
    let same_place = |other: &&Deployment| {
        let it = &other.spec;
        it.kind == DeploymentKind::Inline
            && other.desired != Desired::Retired
            && it.name != spec.name
            && it.input.topics == spec.input.topics
            && it.order == spec.order
    };
    let taken = others.into_iter().find(same_place)?;
    let topic = spec.input.topics.first().map(ToString::to_string).unwrap_or_default();
    let detail = format!(
        "order {} on topic `{topic}` is taken by deployment `{}`; choose another `order`",
        spec.order, taken.spec.name
    );
    Some((Clash::Order, detail))
}

/// How the past of a deployment is got rid of. One that is gone but for its state stands in no list.
pub(super) fn delete_first(past: &Deployment) -> &'static str {
    match past.desired {
        Desired::Retired => "only its state is left: delete it once more to drop that",
        Desired::Running | Desired::Paused => "delete it first",
    }
}

/// How one JSON value becomes the other, by pointer, objects compared key by key.
pub(super) fn diff(from: &Value, to: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    walk("", from, to, &mut changes);
    changes
}

fn walk(pointer: &str, from: &Value, to: &Value, changes: &mut Vec<Change>) {
    match (from, to) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                let (x, y) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                walk(&format!("{pointer}/{escaped}"), x, y, changes);
            }
        }
        _ if from == to => {}
        _ => changes.push(Change { pointer: pointer.to_owned(), from: from.clone(), to: to.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::module::{Digest, Version};
    use serde_json::json;

    fn deployment(spec: Value) -> Deployment {
        Deployment {
            id: 1,
            spec: serde_json::from_value(spec).unwrap(),
            version: Version::parse("1.0.0").unwrap(),
            digest: Digest([0; 32]),
            revision: 1,
            generation: 0,
            desired: Desired::Running,
            tasks: 0,
            start: Vec::new(),
            created_ms: 0,
            migration: None,
            updated_ms: 0,
        }
    }

    fn inline(name: &str, topic: &str, order: i32) -> Deployment {
        deployment(json!({
            "name": name, "kind": "inline", "module": "m", "input": { "topics": [topic] }, "order": order
        }))
    }

    #[test]
    fn an_order_is_unique_on_its_topic() {
        let taken = inline("a", "t", 1);
        assert_eq!(conflict(&inline("b", "t", 2).spec, None, [&taken]), None);
        assert_eq!(conflict(&inline("b", "u", 1).spec, None, [&taken]), None);
        assert_eq!(conflict(&inline("a", "t", 1).spec, Some(&taken), [&taken]), None);
        let (with, said) = conflict(&inline("b", "t", 1).spec, None, [&taken]).unwrap();
        assert_eq!(with, Clash::Order);
        assert_eq!(said, "order 1 on topic `t` is taken by deployment `a`; choose another `order`");
    }

    #[test]
    fn a_kind_does_not_change() {
        let past = inline("a", "t", 1);
        let spec = json!({ "name": "a", "kind": "processor", "module": "m", "input": { "topics": ["t"] } });
        let (with, said) = conflict(&deployment(spec).spec, Some(&past), []).unwrap();
        assert_eq!(with, Clash::Past);
        assert_eq!(said, "deployment `a` is inline and cannot become processor; delete it first");
    }

    #[test]
    fn what_is_left_of_a_deployment_is_told_with_the_way_out() {
        let spec =
            |topic| json!({ "name": "a", "kind": "sink", "module": "m", "input": { "topics": [topic] } });
        let past = Deployment { desired: Desired::Retired, ..deployment(spec("t")) };
        for now in [inline("a", "t", 1), deployment(spec("u"))] {
            let (_, said) = conflict(&now.spec, Some(&past), []).unwrap();
            assert!(said.contains("; only its state is left: delete it once more to drop that"), "{said}");
        }
    }

    #[test]
    fn a_view_stays_with_its_topic() {
        let view = |topic: &str| {
            deployment(json!({ "name": "v", "kind": "view", "module": "m", "input": { "topics": [topic] } }))
        };
        assert_eq!(conflict(&view("t").spec, Some(&view("t")), []), None);
        let (_, said) = conflict(&view("u").spec, Some(&view("t")), []).unwrap();
        assert!(said.starts_with("the input topic of view `v` cannot change"), "{said}");
    }

    #[test]
    fn a_diff_names_what_changed_by_pointer() {
        let changes =
            diff(&json!({"a": {"x/y": 1, "z": 2}, "b": [1]}), &json!({"a": {"x/y": 3, "z": 2}, "c": true}));
        let said: Vec<_> = changes.iter().map(|c| format!("{} {} {}", c.pointer, c.from, c.to)).collect();
        assert_eq!(said, ["/a/x~1y 1 3", "/b [1] null", "/c null true"]);
    }
}
