//! Subscriptions by regular expression, resolved here as KIP-848 asks: the syntax is RE2's, the whole name has to match.
//! The time to match is linear in the name, and compiled expressions are bounded.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use regex::RegexBuilder;

use super::Topics;
use crate::groups::GroupError;
use crate::model::TopicName;
use crate::model::limits::{GROUP_PATTERN_BYTES_MAX, GROUP_PATTERN_COMPILED_MAX, GROUP_PATTERNS_MAX};

/// The expressions of a group with the topics that they match.
#[derive(Debug, Clone, Default)]
pub(super) struct Patterns(HashMap<Arc<str>, Resolved>);

#[derive(Debug, Clone)]
struct Resolved {
    regex: regex::Regex,
    topics: BTreeSet<TopicName>,
}

impl Patterns {
    /// Takes an expression in, so that [`Patterns::topics`] knows it.
    ///
    /// # Errors
    /// `Pattern`, `OutOfRoom`.
    pub(super) fn add(&mut self, pattern: &Arc<str>, topics: &Topics) -> Result<(), GroupError> {
        if self.0.contains_key(pattern) {
            return Ok(());
        }
        let regex = compile(pattern)?;
        if self.0.len() >= GROUP_PATTERNS_MAX {
            let limit = GROUP_PATTERNS_MAX;
            return Err(GroupError::Pattern { why: format!("the group has {limit} others already") });
        }
        let mut resolved = Resolved { regex, topics: BTreeSet::new() };
        resolved.resolve(topics);
        self.0.insert(pattern.clone(), resolved);
        Ok(())
    }

    /// Keeps only what is in use.
    pub(super) fn retain(&mut self, is_used: impl Fn(&str) -> bool) {
        self.0.retain(|pattern, _| is_used(pattern));
    }

    /// Looks through other topics.
    pub(super) fn resolve(&mut self, topics: &Topics) {
        for resolved in self.0.values_mut() {
            resolved.resolve(topics);
        }
    }

    /// The topics that an expression matches.
    pub(super) fn topics(&self, pattern: Option<&str>) -> impl Iterator<Item = &TopicName> {
        pattern.and_then(|pattern| self.0.get(pattern)).into_iter().flat_map(|resolved| &resolved.topics)
    }
}

impl Resolved {
    fn resolve(&mut self, topics: &Topics) {
        let matching = topics.names().filter(|name| self.regex.is_match(name.as_str()));
        self.topics = matching.cloned().collect();
    }
}

/// An expression that matches whole names.
///
/// # Errors
/// `Pattern`.
fn compile(pattern: &str) -> Result<regex::Regex, GroupError> {
    if pattern.len() > GROUP_PATTERN_BYTES_MAX {
        let why = format!("it has {} bytes; at most {GROUP_PATTERN_BYTES_MAX} are taken", pattern.len());
        return Err(GroupError::Pattern { why });
    }
    let build = |pattern: &str| {
        let mut builder = RegexBuilder::new(pattern);
        builder.size_limit(GROUP_PATTERN_COMPILED_MAX).dfa_size_limit(GROUP_PATTERN_COMPILED_MAX);
        builder.build().map_err(|error| GroupError::Pattern { why: error.to_string() })
    };
    // On its own first: what is around it must not make an expression of one that is none, such as `a)(b`.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TopicId;

    fn topics(names: &[&str]) -> Topics {
        let topic = |name: &&str| (TopicName::parse(name).unwrap(), TopicId(uuid::Uuid::new_v4()), 1);
        Topics::new(1, names.iter().map(topic))
    }

    fn matched(pattern: &str, names: &[&str]) -> Result<Vec<String>, GroupError> {
        let mut patterns = Patterns::default();
        patterns.add(&pattern.into(), &topics(names))?;
        Ok(patterns.topics(Some(pattern)).map(ToString::to_string).collect())
    }

    #[test]
    fn whole_names_match() {
        let names = ["a", "ab", "ba", "b"];
        assert_eq!(matched("a", &names), Ok(vec!["a".into()]));
        assert_eq!(matched("a.*", &names), Ok(vec!["a".into(), "ab".into()]));
        assert_eq!(matched("a|b", &names), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(matched("^b.?$", &names), Ok(vec!["b".into(), "ba".into()]));
        assert_eq!(matched("(?i)A", &names), Ok(vec!["a".into()]));
    }

    #[test]
    fn topics_of_the_server_are_not_matched() {
        assert_eq!(matched(".*", &["__logs", "logs"]), Ok(vec!["logs".into()]));
    }

    #[test]
    fn what_is_no_expression_or_too_large_is_refused() {
        let long = "a".repeat(GROUP_PATTERN_BYTES_MAX + 1);
        for bad in ["(", "a)(b", "[", "(?=a)", r"(a)\1", "((a{1000}){1000}){1000}", &long] {
            assert!(matches!(matched(bad, &[]), Err(GroupError::Pattern { .. })), "{bad}");
        }
    }

    #[test]
    fn other_topics_are_found_when_they_come() {
        let mut patterns = Patterns::default();
        patterns.add(&"a.*".into(), &topics(&["a1"])).unwrap();
        patterns.resolve(&topics(&["a1", "a2"]));
        assert_eq!(patterns.topics(Some("a.*")).count(), 2);
        patterns.retain(|_| false);
        assert_eq!(patterns.topics(Some("a.*")).count(), 0);
    }
}
