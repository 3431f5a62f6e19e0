//! The opaque cursor of reads over all partitions: which topic it belongs to, and the next offset of every partition.
//!
//! Before base64url without padding: version u8 = 1, topic id 16 bytes, then per partition the next offset as a LEB128
//! varint.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::broker::read::Cursor;
use crate::model::TopicId;
use crate::model::limits::PARTITIONS_MAX;

const VERSION: u8 = 1;
const HEAD_LEN: usize = 17;

/// The cursor as text.
pub(super) fn encode(topic: TopicId, cursor: &Cursor) -> String {
    let mut bytes = Vec::with_capacity(HEAD_LEN + 3 * cursor.0.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(topic.0.as_bytes());
    for &offset in &cursor.0 {
        let mut rest = offset;
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The topic and the offsets of a cursor from outside; `None` when this server did not make it.
pub(super) fn decode(text: &str) -> Option<(TopicId, Cursor)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (head, offsets) = bytes.split_at_checked(HEAD_LEN)?;
    let (version, id) = head.split_first()?;
    if *version != VERSION {
        return None;
    }
    let topic = TopicId(uuid::Uuid::from_slice(id).ok()?);
    let mut cursor = Cursor::default();
    let (mut offset, mut shift) = (0u64, 0u32);
    for &byte in offsets {
        let bits = u64::from(byte & 0x7f);
        offset |= bits.checked_shl(shift).filter(|v| v >> shift == bits)?;
        shift += 7;
        if byte & 0x80 == 0 {
            cursor.0.push(offset);
            (offset, shift) = (0, 0);
        }
    }
    (shift == 0 && cursor.0.len() <= PARTITIONS_MAX as usize).then_some((topic, cursor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_reads_back(offsets in proptest::collection::vec(any::<u64>(), 0..20), id in any::<u128>()) {
            let (topic, cursor) = (TopicId(uuid::Uuid::from_u128(id)), Cursor(offsets));
            prop_assert_eq!(decode(&encode(topic, &cursor)), Some((topic, cursor)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[A-Za-z0-9_-]{0,60}") {
            let _ = decode(&text);
        }
    }

    #[test]
    fn short_long_and_foreign_cursors_are_refused() {
        let whole = encode(TopicId(uuid::Uuid::nil()), &Cursor(vec![300]));
        assert!(decode(&whole).is_some());
        assert_eq!(decode(&whole[..whole.len() - 2]), None);
        assert_eq!(decode("AAAA"), None);
        assert_eq!(decode("not base64!"), None);
        let endless = URL_SAFE_NO_PAD.encode([[1u8; HEAD_LEN].as_slice(), &[0xff; 11]].concat());
        assert_eq!(decode(&endless), None);
    }
}
