//! Topics between the stages of one processor: what a task writes there is read by the task that has the record's key.

use serde::{Deserialize, Serialize};

use super::{DeploymentKind, DeploymentSpec};
use crate::model::limits::{INTERNAL_LAG_DEFAULT, INTERNAL_LAG_MAX, INTERNAL_TOPICS_MAX, STORE_NAME_MAX};
use crate::model::{DeploymentName, TopicName, names};

/// A topic that a processor alone writes and reads, with as many partitions as it has tasks. Its code writes it as the route
/// of its name and finds it under that name among its inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InternalTopic {
    /// while about so many records of a partition wait, the tasks read nothing else
    pub max_lag: u64,
}

impl Default for InternalTopic {
    fn default() -> Self {
        Self { max_lag: INTERNAL_LAG_DEFAULT }
    }
}

/// The deployment and the short name that a topic's name says, if it is of this kind.
pub fn owner_of(topic: &TopicName) -> Option<(DeploymentName, &str)> {
    // The short name has no dot, so that the last one ends the deployment's.
    let (deployment, name) = topic.as_str().strip_prefix("__")?.rsplit_once('.')?;
    Some((DeploymentName::parse(deployment).ok()?, name))
}

// === impl DeploymentSpec ===

impl DeploymentSpec {
    /// The internal topics, in the order of their short names.
    pub fn internal_topics(&self) -> impl Iterator<Item = TopicName> {
        let topic = |name: &String| TopicName::parse(&format!("__{}.{name}", self.name));
        // What does not parse is refused before anything is made of it.
        self.internal.keys().filter_map(move |name| topic(name).ok())
    }

    /// What its tasks read, in the order of `config.inputs`: the input topics, then the internal ones.
    pub fn inputs(&self) -> Vec<TopicName> {
        self.input.topics.iter().cloned().chain(self.internal_topics()).collect()
    }

    /// The same, as the code calls them.
    pub fn input_names(&self) -> Vec<String> {
        let topics = self.input.topics.iter().map(ToString::to_string);
        topics.chain(self.internal.keys().cloned()).collect()
    }

    /// The routes that the code may name: those of the spec, then the internal topics.
    pub fn route_names(&self) -> impl Iterator<Item = &String> {
        self.output.routes.keys().chain(self.internal.keys())
    }

    /// Where they lead, in the same order.
    pub fn route_topics(&self) -> Vec<TopicName> {
        self.output.routes.values().cloned().chain(self.internal_topics()).collect()
    }

    pub(super) fn check_internal(&self, say: &mut impl FnMut(&str, String)) {
        let internal = &self.internal;
        if self.kind != DeploymentKind::Processor && !internal.is_empty() {
            say("/internal", format!("a deployment of kind {} has no stages", self.kind.as_str()));
        }
        if internal.len() > INTERNAL_TOPICS_MAX {
            say("/internal", format!("{} topics, at most {INTERNAL_TOPICS_MAX}", internal.len()));
        }
        for (name, topic) in internal {
            let pointer = format!("/internal/{name}");
            if let Err(e) = names::check("internal topic", name, STORE_NAME_MAX) {
                say("/internal", e.to_string());
            } else if name.contains('.') {
                say(&pointer, "the name of an internal topic has no dot".into());
            }
            if self.output.routes.contains_key(name) {
                say(&pointer, format!("`{name}` is a route of `output.routes` as well"));
            }
            if self.input.topics.iter().any(|input| input.as_str() == name) {
                say(&pointer, format!("`{name}` is an input as well; the code could not tell them apart"));
            }
            if !(1..=INTERNAL_LAG_MAX).contains(&topic.max_lag) {
                let found = topic.max_lag;
                say(&format!("{pointer}/max_lag"), format!("{found}, expected 1 to {INTERNAL_LAG_MAX}"));
            }
        }
        let owned: Vec<_> = self.internal_topics().collect();
        if let Some(own) = self.input.topics.iter().find(|topic| owned.contains(topic)) {
            say(
                "/input/topics",
                format!("topic `{own}` is internal to this deployment, which reads it anyway"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(more: &serde_json::Value) -> DeploymentSpec {
        let mut whole = serde_json::json!({
            "name": "a.b", "kind": "processor", "module": "m", "input": { "topics": ["in"] },
            "output": { "routes": { "r": "out" } }
        });
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn the_code_sees_short_names_behind_those_of_the_spec() {
        let spec = spec(&serde_json::json!({ "internal": { "pairs": {}, "a": { "max_lag": 5 } } }));
        assert_eq!(spec.problems(), []);
        assert_eq!(spec.input_names(), ["in", "a", "pairs"]);
        let inputs: Vec<_> = spec.inputs().iter().map(ToString::to_string).collect();
        assert_eq!(inputs, ["in", "__a.b.a", "__a.b.pairs"]);
        assert_eq!(spec.route_names().collect::<Vec<_>>(), ["r", "a", "pairs"]);
        let routes: Vec<_> = spec.route_topics().iter().map(ToString::to_string).collect();
        assert_eq!(routes, ["out", "__a.b.a", "__a.b.pairs"]);
        for topic in spec.internal_topics() {
            let (owner, name) = owner_of(&topic).unwrap();
            assert_eq!((owner.as_str(), spec.internal.contains_key(name)), ("a.b", true));
        }
        assert_eq!(owner_of(&TopicName::parse("__millstream_logs").unwrap()), None);
        assert_eq!((spec.internal["a"].max_lag, spec.internal["pairs"].max_lag), (5, INTERNAL_LAG_DEFAULT));
    }

    #[test]
    fn names_that_could_be_taken_for_others_are_refused() {
        for (more, pointer) in [
            (serde_json::json!({ "internal": { "r": {} } }), "/internal/r"),
            (serde_json::json!({ "internal": { "in": {} } }), "/internal/in"),
            (serde_json::json!({ "internal": { "x.y": {} } }), "/internal/x.y"),
            (serde_json::json!({ "internal": { "x": { "max_lag": 0 } } }), "/internal/x/max_lag"),
            (serde_json::json!({ "internal": { "x/y": {} } }), "/internal"),
            (serde_json::json!({ "internal": { "x": {} }, "kind": "sink", "output": {} }), "/internal"),
            (
                serde_json::json!({ "internal": { "x": {} }, "input": { "topics": ["__a.b.x"] } }),
                "/input/topics",
            ),
            (serde_json::json!({ "input": { "topics": ["in", "__other.x"] } }), "/input/topics/1"),
        ] {
            let problems = spec(&more).problems();
            assert_eq!(problems.iter().map(|p| &*p.pointer).collect::<Vec<_>>(), [pointer]);
        }
    }
}
