//! A writer: one transaction after the other, each over several partitions and topics.

use std::sync::Arc;

use super::ledger::{Fate, Ledger, Written};
use super::{EVENTS, LATEST, PARTITIONS, begin, end};
use crate::Random;
use crate::crew::Hand;
use crate::kafka::{Failure, Session};

/// Keys that each writer has in `latest`.
const KEYS: u64 = 7;
/// Every so many transactions a key is deleted.
const TOMBSTONE_EVERY: u64 = 11;

pub(super) async fn work(
    name: &'static str,
    joins: bool,
    mut random: Random,
    ledger: Arc<Ledger>,
    mut hand: Hand,
) {
    let mut session = None;
    let mut n = 0;
    while hand.go().await.is_some() {
        let mut written = Written::default();
        let done = one(name, n, joins, &mut random, &mut session, &mut written, &hand).await;
        ledger.open().insert((name, n), written);
        if let Err(failure) = done {
            return hand.complain(format!("writer {name}, transaction {n}: {failure}"));
        }
        n += 1;
        hand.finished();
    }
}

async fn one(
    name: &str,
    n: u64,
    joins: bool,
    random: &mut Random,
    session: &mut Option<Session>,
    written: &mut Written,
    hand: &Hand,
) -> Result<(), Failure> {
    let mut open = match session.take() {
        Some(open) => open,
        None => begin(hand, name, joins).await?,
    };
    let committed = random.below(10) < 7;
    let is_known = match write(name, n, random, &mut open, written).await {
        Ok(()) => {
            let insists = random.below(2) == 0;
            let is_known = end(hand, &mut open, committed, insists).await?;
            if committed {
                written.fate = if is_known { Fate::Committed } else { Fate::Either };
            }
            is_known
        }
        Err(Failure::Lost) => false,
        Err(failure) => return Err(failure),
    };
    // A new session aborts what the lost one may have left open.
    *session = Some(if is_known { open } else { begin(hand, name, joins).await? });
    Ok(())
}

async fn write(
    name: &str,
    n: u64,
    random: &mut Random,
    open: &mut Session,
    written: &mut Written,
) -> Result<(), Failure> {
    let mut count = 0;
    for _ in 0..=random.below(3) {
        let partition = (random.next() % PARTITIONS as u64) as i32;
        let from = written.events.len();
        for _ in 0..=random.below(4) {
            written.events.push((partition, format!("{name} {n} {count}"), false));
            count += 1;
        }
        let batch = &mut written.events[from..];
        let pairs: Vec<_> = batch.iter().map(|(_, text, _)| (None, Some(text.clone()))).collect();
        open.write(EVENTS, partition, &pairs).await?;
        batch.iter_mut().for_each(|event| event.2 = true);
    }
    let value = (!n.is_multiple_of(TOMBSTONE_EVERY)).then(|| n.to_string());
    let latest = (format!("{name} {}", n % KEYS), value);
    written.latest = Some(latest.clone());
    open.write(LATEST, 0, &[(Some(latest.0), latest.1)]).await
}
