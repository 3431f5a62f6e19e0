//! The rows of groups of the consumer protocol; their layout is drawn in `rows`.

use super::{CONSUMER, Reader, RowError, VERSION, put_bytes, put_count, put_optional};
use crate::groups::machine::consumer::{Assignment, Assignor, Member, Progress, Snapshot};
use crate::model::TopicId;

/// A group's row.
pub(in crate::groups) fn encode_consumer(snapshot: &Snapshot) -> Vec<u8> {
    let mut row = vec![VERSION, CONSUMER];
    row.extend(snapshot.epoch.to_be_bytes());
    row.extend(snapshot.target_epoch.to_be_bytes());
    put_count(&mut row, snapshot.subscribed.len());
    for (topic, partitions) in &snapshot.subscribed {
        row.extend(topic.0.as_bytes());
        row.extend(partitions.to_be_bytes());
    }
    put_count(&mut row, snapshot.members.len());
    for member in &snapshot.members {
        put_member(&mut row, member);
    }
    row
}

/// Reads what follows the kind.
pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Snapshot, RowError> {
    let (epoch, target_epoch) = (reader.i32()?, reader.i32()?);
    let subscribed = reader.list(|reader| Ok((reader.topic()?, reader.u32()?)))?;
    let members = reader.list(Reader::consumer)?;
    Ok(Snapshot { epoch, target_epoch, subscribed: subscribed.into_iter().collect(), members })
}

fn put_member(row: &mut Vec<u8>, member: &Member) {
    put_bytes(row, member.id.as_bytes());
    put_optional(row, member.instance_id.as_deref());
    put_optional(row, member.rack_id.as_deref());
    put_bytes(row, member.client_id.as_bytes());
    put_bytes(row, member.client_host.as_bytes());
    row.extend(member.session_timeout_ms.to_be_bytes());
    row.extend(member.rebalance_timeout_ms.to_be_bytes());
    put_count(row, member.topics.len());
    for topic in &member.topics {
        put_bytes(row, topic.as_bytes());
    }
    put_optional(row, member.pattern.as_deref());
    row.push(member.assignor.map_or(0, Assignor::byte));
    row.extend(member.epoch.to_be_bytes());
    row.extend(member.previous_epoch.to_be_bytes());
    row.push(member.progress.byte());
    for assignment in [&member.assigned, &member.revoking, &member.target] {
        let topics = assignment.topics();
        put_count(row, topics.len());
        for (topic, partitions) in topics {
            row.extend(topic.0.as_bytes());
            put_count(row, partitions.len());
            for partition in partitions {
                row.extend(partition.to_be_bytes());
            }
        }
    }
}

impl Reader<'_> {
    fn topic(&mut self) -> Result<TopicId, RowError> {
        Ok(TopicId(uuid::Uuid::from_bytes(self.array()?)))
    }

    fn partitions(&mut self) -> Result<Assignment, RowError> {
        let topics = self.list(|reader| Ok((reader.topic()?, reader.list(Self::u32)?)))?;
        let flat = topics.into_iter().flat_map(|(topic, list)| list.into_iter().map(move |p| (topic, p)));
        Ok(flat.collect())
    }

    fn assignor(&mut self) -> Result<Option<Assignor>, RowError> {
        match self.u8()? {
            0 => Ok(None),
            byte => Assignor::of_byte(byte).map(Some).ok_or(RowError::Byte(byte)),
        }
    }

    fn progress(&mut self) -> Result<Progress, RowError> {
        let byte = self.u8()?;
        Progress::of_byte(byte).ok_or(RowError::Byte(byte))
    }

    fn consumer(&mut self) -> Result<Member, RowError> {
        Ok(Member {
            id: self.text()?,
            instance_id: self.optional()?,
            rack_id: self.optional()?,
            client_id: self.text()?,
            client_host: self.text()?,
            session_timeout_ms: self.i64()?,
            rebalance_timeout_ms: self.i64()?,
            topics: self.list(Self::text)?.into_iter().collect(),
            pattern: self.optional()?,
            assignor: self.assignor()?,
            epoch: self.i32()?,
            previous_epoch: self.i32()?,
            progress: self.progress()?,
            assigned: self.partitions()?,
            revoking: self.partitions()?,
            target: self.partitions()?,
            session_ends: 0,
            revocation_ends: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::option;
    use proptest::prelude::*;

    use super::super::{GroupRow, decode_group};
    use super::*;

    fn any_text() -> impl Strategy<Value = Arc<str>> {
        any::<String>().prop_map(Arc::from)
    }

    fn topic() -> impl Strategy<Value = TopicId> {
        any::<u128>().prop_map(|id| TopicId(uuid::Uuid::from_u128(id)))
    }

    fn partitions() -> impl Strategy<Value = Assignment> {
        vec((topic(), any::<u32>()), 0..4).prop_map(|list| list.into_iter().collect())
    }

    fn progress() -> impl Strategy<Value = Progress> {
        prop_oneof![Just(Progress::Stable), Just(Progress::Unrevoked), Just(Progress::Unreleased)]
    }

    prop_compose! {
        fn member()(
            (id, client_id, client_host) in (any_text(), any_text(), any_text()),
            (instance_id, rack_id, pattern) in
                (option::of(any_text()), option::of(any_text()), option::of(any_text())),
            (session_timeout_ms, rebalance_timeout_ms) in any::<(i64, i64)>(),
            topics in btree_set(any_text(), 0..3),
            assignor in option::of(proptest::sample::select(&Assignor::ALL[..])),
            (epoch, previous_epoch) in any::<(i32, i32)>(),
            progress in progress(),
            (assigned, revoking, target) in (partitions(), partitions(), partitions()),
        ) -> Member {
            Member {
                id, instance_id, rack_id, client_id, client_host, session_timeout_ms, rebalance_timeout_ms, topics,
                pattern, assignor, epoch, previous_epoch, progress, assigned, revoking, target,
                session_ends: 0, revocation_ends: None,
            }
        }
    }

    prop_compose! {
        fn snapshot()(
            (epoch, target_epoch) in any::<(i32, i32)>(),
            subscribed in btree_map(topic(), any::<u32>(), 0..3),
            members in vec(member(), 0..3),
        ) -> Snapshot {
            Snapshot { epoch, target_epoch, subscribed, members }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn groups_read_back_and_no_part_of_a_row_is_a_row(group in snapshot()) {
            let row = encode_consumer(&group);
            for end in 0..row.len() {
                prop_assert!(decode_group(&row[..end]).is_err());
            }
            let mut long = row.clone();
            long.push(0);
            prop_assert_eq!(decode_group(&long), Err(RowError::Length));
            prop_assert_eq!(decode_group(&row), Ok(GroupRow::Consumer(group)));
        }
    }

    #[test]
    fn the_layout_of_a_row_stays() {
        let topic = TopicId(uuid::Uuid::from_u128(0x0102));
        let member = Member {
            id: "m".into(),
            instance_id: Some("i".into()),
            rack_id: None,
            client_id: "c".into(),
            client_host: "h".into(),
            session_timeout_ms: 1,
            rebalance_timeout_ms: 2,
            topics: ["t".into()].into(),
            pattern: None,
            assignor: Some(Assignor::Range),
            epoch: 3,
            previous_epoch: 2,
            progress: Progress::Unrevoked,
            assigned: [(topic, 5)].into_iter().collect(),
            revoking: Assignment::default(),
            target: Assignment::default(),
            session_ends: 0,
            revocation_ends: None,
        };
        let snapshot =
            Snapshot { epoch: 4, target_epoch: 3, subscribed: [(topic, 6)].into(), members: vec![member] };
        let id = [&[0; 14][..], &[1, 2]].concat();
        let number = |n: u8| [0, 0, 0, n];
        let long = |n: u8| [0, 0, 0, 0, 0, 0, 0, n];
        let row = [
            &[1, 2][..],
            &number(4),
            &number(3),
            &number(1),
            &id,
            &number(6),
            &number(1),
            b"\0\0\0\x01m\x01\0\0\0\x01i\0\0\0\0\x01c\0\0\0\x01h",
            &long(1),
            &long(2),
            b"\0\0\0\x01\0\0\0\x01t\0\x02",
            &number(3),
            &number(2),
            &[2],
            &number(1),
            &id,
            &number(1),
            &number(5),
            &number(0),
            &number(0),
        ];
        assert_eq!(encode_consumer(&snapshot), row.concat());
    }
}
