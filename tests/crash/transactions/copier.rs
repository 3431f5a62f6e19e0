//! A copier: reads what is committed, writes it down again with its offset, and keeps its position in the same transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{COPIES, EVENTS, GROUP, begin, end};
use crate::Random;
use crate::crew::Hand;
use crate::kafka::{Failure, Page, Session};

/// Of a partition at once.
const BYTES_MAX: i32 = 16 * 1024;

/// A session, and where it reads on.
type Place = (Session, BTreeMap<i32, i64>);

pub(super) async fn work(
    name: &'static str,
    joins: bool,
    partitions: &'static [i32],
    mut random: Random,
    mut hand: Hand,
) {
    let mut place = None;
    while hand.go().await.is_some() {
        if let Err(failure) = one(name, joins, partitions, &mut random, &mut place, &hand).await {
            return hand.complain(format!("copier {name}: {failure}"));
        }
        hand.finished();
    }
}

async fn one(
    name: &str,
    joins: bool,
    partitions: &[i32],
    random: &mut Random,
    place: &mut Option<Place>,
    hand: &Hand,
) -> Result<(), Failure> {
    let (mut session, mut positions) = match place.take() {
        Some(place) => place,
        None => reopen(name, joins, partitions, hand).await?,
    };
    let (committed, insists) = (random.below(10) < 8, random.below(2) == 0);
    let is_done = match copy(&mut session, &positions).await {
        Ok(None) => {
            tokio::time::sleep(Duration::from_millis(5)).await;
            true
        }
        Ok(Some(next)) => {
            let is_known = end(hand, &mut session, committed, insists).await?;
            if committed {
                positions = next;
            }
            is_known
        }
        Err(Failure::Lost) => false,
        Err(failure) => return Err(failure),
    };
    let stays = is_done.then_some((session, positions));
    *place = Some(match stays {
        Some(place) => place,
        None => reopen(name, joins, partitions, hand).await?,
    });
    Ok(())
}

/// A new session aborts what was open, so the group's positions are those of the last commit.
async fn reopen(name: &str, joins: bool, partitions: &[i32], hand: &Hand) -> Result<Place, Failure> {
    loop {
        let mut session = begin(hand, name, joins).await?;
        match session.client().committed(GROUP, EVENTS, partitions).await {
            Err(Failure::Lost) => {}
            Err(failure) => return Err(failure),
            Ok(committed) => {
                let at = |p: &i32| (*p, committed.get(p).copied().unwrap_or(0));
                return Ok((session, partitions.iter().map(at).collect()));
            }
        }
    }
}

/// Copies what is there; where it would read on, or nothing if there was nothing.
async fn copy(
    session: &mut Session,
    positions: &BTreeMap<i32, i64>,
) -> Result<Option<BTreeMap<i32, i64>>, Failure> {
    let mut next = positions.clone();
    for (&partition, &from) in positions {
        let Page { records, next: end, .. } =
            session.client().fetch(EVENTS, partition, from, true, BYTES_MAX).await?;
        let pairs: Vec<_> = records.into_iter().map(|r| (Some(r.offset.to_string()), r.value)).collect();
        if !pairs.is_empty() {
            session.write(COPIES, partition, &pairs).await?;
        }
        next.insert(partition, end);
    }
    if next == *positions {
        return Ok(None);
    }
    session.keep_offsets(GROUP, EVENTS, &next).await?;
    Ok(Some(next))
}
