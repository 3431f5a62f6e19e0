//! Floor 0: logs and metrics. Names of metrics stand in `metric_names`; nothing here knows what they mean.

pub mod calls;
pub mod exposition;
pub mod logs;
pub mod metric_names;
pub mod metrics;

use std::error::Error;
use std::fmt::Write as _;

/// An error and everything behind it: `cannot open x: permission denied`. Messages never repeat their source, so this is
/// the one place that puts them together.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the store")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_chain_names_every_cause_once() {
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "cannot open the store: disk on fire");
    }
}
