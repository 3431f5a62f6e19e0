//! What is advertised: exactly what is dispatched, in the versions that the codec serves, and the features behind it.

use super::dispatch;
use super::wire::{ApiKey, Versions};

/// API and versions, in order of their numbers.
pub(super) fn advertised() -> impl Iterator<Item = (ApiKey, Versions)> {
    dispatch::SERVED.iter().map(|api| (*api, api.served()))
}

/// A feature that the whole cluster has agreed on. Clients change their protocol by it, so nothing stands here that is
/// not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Feature {
    /// Kafka's name
    pub(super) name: &'static str,
    /// the lowest level that could be agreed on
    pub(super) first: i16,
    /// the highest
    pub(super) last: i16,
    /// the level in force
    pub(super) level: i16,
}

/// Every feature.
pub(super) const FEATURES: &[Feature] = &[
    // The consumer group protocol (KIP-848).
    Feature { name: "group.version", first: 0, last: 1, level: 1 },
    // 2: each end of a transaction bumps the epoch, and partitions join by being written to (KIP-890). A client that
    // does not know it goes on as before.
    Feature { name: "transaction.version", first: 0, last: 2, level: 2 },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advertised_stands_once_and_in_order() {
        let keys: Vec<_> = advertised().map(|(api, _)| api.key()).collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(keys, sorted);
    }
}
