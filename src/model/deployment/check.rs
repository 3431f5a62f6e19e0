//! What a spec alone shows to be wrong with it, and the topics that it means.

use std::time::Duration;

use super::{DeploymentKind, DeploymentSpec, OnErrorPolicy, OnReject, OutputSpec, SpecProblem, owner_of};
use crate::model::limits::{
    BATCH_RECORDS_MAX, DEPLOYMENT_TOPICS_MAX, GUEST_CPU_MAX, GUEST_MEMORY_MAX, GUEST_OUTPUT_BYTES_MAX,
    GUEST_OUTPUT_RECORDS_MAX, GUEST_WALL_MAX, LOG_LINES_MAX, MIB, PARTITIONS_MAX, POLL_INTERVAL_MAX,
    POLL_INTERVAL_MIN, STORE_NAME_MAX, STORE_TTL_MAX, STORE_TTL_MIN, STORES_MAX,
};
use crate::model::module::{ModuleKind, ModuleRef};
use crate::model::{TopicName, duration, names};

// === impl DeploymentSpec ===

impl DeploymentSpec {
    /// Every problem that the spec alone shows; empty when it is well formed.
    pub fn problems(&self) -> Vec<SpecProblem> {
        let mut problems = Vec::new();
        let mut say = |pointer: &str, detail: String| {
            problems.push(SpecProblem { pointer: pointer.to_owned(), detail });
        };

        if let Err(detail) = ModuleRef::parse(&self.module) {
            say("/module", detail);
        }
        self.check_source(&mut say);
        self.check_topics(&mut say);
        if self.kind == DeploymentKind::View {
            self.check_view(&mut say);
        }
        self.check_internal(&mut say);
        self.check_state(&mut say);
        self.check_time(&mut say);
        self.check_limits(&mut say);
        self.check_grants(&mut say);
        problems
    }

    fn check_source(&self, say: &mut impl FnMut(&str, String)) {
        if self.kind != DeploymentKind::Source {
            if self.source.is_some() {
                say("/source", format!("a deployment of kind {} is not polled", self.kind.as_str()));
            }
            return;
        }
        let interval = self.interval();
        if !(POLL_INTERVAL_MIN..=POLL_INTERVAL_MAX).contains(&interval) {
            let [found, min, max] =
                [interval, POLL_INTERVAL_MIN, POLL_INTERVAL_MAX].map(duration::format_duration);
            say("/source/interval", format!("{found}, expected {min} to {max}"));
        }
        if !self.input.topics.is_empty() {
            say("/input", "a source reads no topics; leave it out".into());
        }
        if self.outputs().next().is_none() {
            say(
                "/output",
                "a source without outputs has nowhere to put its records; name output.default".into(),
            );
        }
        if self.on_error.policy == OnErrorPolicy::DeadLetter {
            let detail = "a poll that fails leaves no record to give up; choose stop or skip".into();
            say("/on_error/policy", detail);
        }
    }

    fn check_topics(&self, say: &mut impl FnMut(&str, String)) {
        let inputs = &self.input.topics;
        let inline = self.kind == DeploymentKind::Inline;
        if (inputs.is_empty() && self.kind != DeploymentKind::Source) || inputs.len() > DEPLOYMENT_TOPICS_MAX
        {
            say("/input/topics", format!("{} topics, expected 1 to {DEPLOYMENT_TOPICS_MAX}", inputs.len()));
        }
        if inline && inputs.len() > 1 {
            say("/input/topics", format!("{} topics, an inline deployment has exactly one", inputs.len()));
        }
        for (i, topic) in inputs.iter().enumerate() {
            if inputs[..i].contains(topic) {
                say(&format!("/input/topics/{i}"), format!("topic `{topic}` stands twice"));
            }
            if let Some((owner, _)) = owner_of(topic).filter(|(owner, _)| *owner != self.name) {
                say(
                    &format!("/input/topics/{i}"),
                    format!(
                        "topic `{topic}` is internal to deployment `{owner}`, which deletes what it has read of it; read \
                         a topic that is among its outputs"
                    ),
                );
            } else if inline && topic.is_internal() {
                say(
                    &format!("/input/topics/{i}"),
                    format!("topic `{topic}` is internal and takes no transforms"),
                );
            }
        }
        if inline && self.output.default.is_some() {
            say(
                "/output/default",
                "an inline deployment writes to its own topic; use routes for others".into(),
            );
        }
        if self.kind == DeploymentKind::Sink && self.output != OutputSpec::default() {
            say("/output", "a sink has no outputs; its dead letters are set by on_error".into());
        }
        if self.output.routes.len() > DEPLOYMENT_TOPICS_MAX {
            say(
                "/output/routes",
                format!("{} routes, at most {DEPLOYMENT_TOPICS_MAX}", self.output.routes.len()),
            );
        }
        for route in self.output.routes.keys() {
            if let Err(e) = names::check("route", route, STORE_NAME_MAX) {
                say("/output/routes", e.to_string());
            }
        }
        for topic in self.outputs().chain(self.on_error.topic.iter()) {
            if inputs.contains(topic) {
                say("/output", format!("topic `{topic}` is also an input; a deployment cannot feed itself"));
            }
            if topic.is_internal() {
                say("/output", format!("topic `{topic}` is internal and written by the server alone"));
            }
        }
    }

    /// A view is a topic of its own name, for readers, and has nowhere to write to.
    fn check_view(&self, say: &mut impl FnMut(&str, String)) {
        let inputs = self.input.topics.len();
        if inputs > 1 {
            say("/input/topics", format!("{inputs} topics, a view has exactly one"));
        }
        match TopicName::parse(self.name.as_str()) {
            Ok(name) if name.is_internal() => {
                say("/name", "names of topics that begin with `__` belong to the server".into());
            }
            Ok(name) if self.input.topics.contains(&name) => {
                say("/input/topics", format!("the view is called `{name}` itself; it needs another name"));
            }
            Ok(_) => {}
            Err(e) => say("/name", e.to_string()),
        }
        if self.output != OutputSpec::default() {
            say("/output", "a view writes nothing: what its code emits is shown to readers".into());
        }
        if self.on_error.policy == OnErrorPolicy::DeadLetter || self.on_error.topic.is_some() {
            say("/on_error", "a view writes no dead letters; its policy is `stop` or `skip`".into());
        }
    }

    fn check_state(&self, say: &mut impl FnMut(&str, String)) {
        let stores = &self.state.stores;
        if self.kind != DeploymentKind::Processor && !stores.is_empty() {
            say("/state/stores", format!("a deployment of kind {} has no state", self.kind.as_str()));
        }
        if stores.len() > STORES_MAX {
            say("/state/stores", format!("{} stores, at most {STORES_MAX}", stores.len()));
        }
        for (i, store) in stores.iter().enumerate() {
            if let Err(e) = names::check("store", &store.name, STORE_NAME_MAX) {
                say(&format!("/state/stores/{i}/name"), e.to_string());
            }
            if stores[..i].iter().any(|earlier| earlier.name == store.name) {
                say(&format!("/state/stores/{i}/name"), format!("store `{}` stands twice", store.name));
            }
            if let Some(ttl) = store.ttl.filter(|ttl| !(STORE_TTL_MIN..=STORE_TTL_MAX).contains(ttl)) {
                let [found, least, most] = [ttl, STORE_TTL_MIN, STORE_TTL_MAX].map(duration::format_duration);
                say(&format!("/state/stores/{i}/ttl"), format!("{found}, expected {least} to {most}"));
            }
        }
    }

    fn check_limits(&self, say: &mut impl FnMut(&str, String)) {
        let limits = &self.limits;
        let memory = MIB as u64..=GUEST_MEMORY_MAX as u64;
        if !memory.contains(&limits.memory) {
            let found = duration::format_bytes(limits.memory);
            say(
                "/limits/memory",
                format!("{found}, expected 1MiB to {}", duration::format_bytes(*memory.end())),
            );
        }
        for (member, found, most) in
            [("cpu", limits.cpu, GUEST_CPU_MAX), ("wall", limits.wall, GUEST_WALL_MAX)]
        {
            if found < Duration::from_millis(10) || found > most {
                let [found, most] = [found, most].map(duration::format_duration);
                say(&format!("/limits/{member}"), format!("{found}, expected 10ms to {most}"));
            }
        }
        let counts =
            [("instances", limits.instances, PARTITIONS_MAX), ("log_lines", limits.log_lines, LOG_LINES_MAX)];
        for (member, found, most) in counts {
            if found == 0 || found > most {
                say(&format!("/limits/{member}"), format!("{found}, expected 1 to {most}"));
            }
        }
        if !(1..=BATCH_RECORDS_MAX).contains(&limits.batch.records) {
            say(
                "/limits/batch/records",
                format!("{}, expected 1 to {BATCH_RECORDS_MAX}", limits.batch.records),
            );
        }
        let bytes = 1..=GUEST_OUTPUT_BYTES_MAX as u64;
        if !bytes.contains(&limits.output.bytes) {
            say("/limits/output/bytes", format!("{}, expected 1 to {}", limits.output.bytes, bytes.end()));
        }
        if limits.output.records == 0 || limits.output.records > GUEST_OUTPUT_RECORDS_MAX {
            let most = GUEST_OUTPUT_RECORDS_MAX;
            say("/limits/output/records", format!("{}, expected 1 to {most}", limits.output.records));
        }
        // What a sink delivers to may be away for days.
        let retries_max = if self.kind == DeploymentKind::Sink { 1_000_000 } else { 100 };
        if self.on_error.max_retries > retries_max {
            let found = self.on_error.max_retries;
            say("/on_error/max_retries", format!("{found}, expected 0 to {retries_max}"));
        }
    }

    /// The default output and the routes, in route order.
    pub fn outputs(&self) -> impl Iterator<Item = &TopicName> {
        self.output.default.iter().chain(self.output.routes.values())
    }

    /// The dead-letter topic: the one named, or `<deployment>.dlq`.
    pub fn dead_letter_topic(&self) -> TopicName {
        let named = self.on_error.topic.clone();
        named.unwrap_or_else(|| {
            TopicName::parse(&format!("{}.dlq", self.name))
                .expect("a deployment's name and four characters fit a topic")
        })
    }

    /// Time between two polls of a source.
    pub fn interval(&self) -> Duration {
        self.source.clone().unwrap_or_default().interval
    }

    /// Can this deployment write dead letters? Then the topic has to exist.
    pub fn wants_dead_letters(&self, module: ModuleKind) -> bool {
        match self.kind {
            // Faults become dead letters by policy; what a transform rejects has nobody else to go to.
            DeploymentKind::Processor => {
                self.on_error.policy == OnErrorPolicy::DeadLetter || module.is_transform()
            }
            DeploymentKind::Sink => self.on_error.policy == OnErrorPolicy::DeadLetter,
            DeploymentKind::Inline => self.on_reject == OnReject::DeadLetter,
            DeploymentKind::View => false,
            DeploymentKind::Source => false,
        }
    }
}
