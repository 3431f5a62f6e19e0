//! The one thing that is read of members' metadata: which topics a consumer subscribes to. All versions of Kafka's
//! consumer protocol begin alike (`ConsumerProtocolSubscription.json`):
//!
//! ```text
//! version i16 | topics: count i32, each length i16 + UTF-8 | user data and what later versions add
//! ```

use std::sync::Arc;

/// The topics; `None` if these are no such bytes.
pub(super) fn topics(metadata: &[u8]) -> Option<Vec<Arc<str>>> {
    let (version, rest) = metadata.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    // Each takes two bytes at least, so a claimed count cannot ask for more memory than the metadata have.
    let mut topics = Vec::with_capacity(count.min(rest.len() / 2));
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        topics.push(std::str::from_utf8(name).ok()?.into());
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(version: i16, topics: &[&str]) -> Vec<u8> {
        let mut bytes = version.to_be_bytes().to_vec();
        bytes.extend((topics.len() as i32).to_be_bytes());
        for topic in topics {
            bytes.extend((topic.len() as i16).to_be_bytes());
            bytes.extend(topic.as_bytes());
        }
        bytes
    }

    #[test]
    fn topics_are_found_in_every_version_whatever_follows() {
        for version in 0..4 {
            let mut bytes = encode(version, &["orders", "clicks"]);
            bytes.extend([0xff; 9]);
            let found = topics(&bytes).unwrap();
            assert_eq!(found.iter().map(|t| &**t).collect::<Vec<_>>(), ["orders", "clicks"]);
        }
        assert_eq!(topics(&encode(0, &[])), Some(vec![]));
    }

    #[test]
    fn short_and_lying_bytes_are_no_subscription() {
        let whole = encode(1, &["orders"]);
        for end in 0..whole.len() {
            assert_eq!(topics(&whole[..end]), None);
        }
        assert_eq!(topics(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(topics(&[0, 0, 0, 0, 0, 1, 0x80, 0]), None);
        assert_eq!(topics(&encode(-1, &[])), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = topics(&bytes);
        }
    }
}
