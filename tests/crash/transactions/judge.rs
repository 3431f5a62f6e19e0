//! What must hold after every restart, when no transaction is open.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result, ensure};

use super::ledger::{Fate, Ledger, Transactions};
use super::{COPIES, EVENTS, GROUP, LATEST, PARTITIONS};
use crate::check;
use crate::kafka::{Client, Read};
use crate::server::Server;

/// Counts for the reader of the run.
pub(super) struct Found {
    transactions: usize,
    /// with a commit of which nothing was heard: made, and not
    either: (usize, usize),
    committed: usize,
    aborted: usize,
    copied: usize,
    latest: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, either: (made, lost), committed, aborted, copied, latest } = self;
        write!(
            f,
            "{transactions} transactions ({made} commits without an answer were made, {lost} not), {committed} \
             committed records, {aborted} aborted ones only for those who ask, {copied} copied, {latest} records left \
             in the compacted topic: all as they should be"
        )
    }
}

/// What a reader sees of the three partitions of a topic, after each other.
type Seen = Vec<Vec<Read>>;

pub(super) async fn all(server: &Server, ledger: &Ledger) -> Result<Found> {
    let transactions = ledger.open().clone();
    let mut client = Client::connect(&server.kafka()).await?;
    let events = read(&mut client, EVENTS, true).await?;
    let made = made(&transactions, &events)?;
    for (partition, records) in events.iter().enumerate() {
        let over_http = check::read(server, EVENTS, u32::try_from(partition)?).await?;
        let http: Vec<_> = over_http.iter().map(|record| record["offset"].as_i64()).collect();
        let kafka: Vec<_> = records.iter().map(|record| Some(record.offset)).collect();
        ensure!(http == kafka, "both doors show other records of partition {partition}");
    }
    let aborted = aborted(&mut client, &transactions, &made).await?;
    let copied = copies(&mut client, &events).await?;
    let latest = latest(&mut client, &transactions, &made).await?;

    let either = |was_made: bool| {
        let open = transactions.iter().filter(|(_, t)| t.fate == Fate::Either);
        open.filter(|(id, _)| made.contains(*id) == was_made).count()
    };
    Ok(Found {
        transactions: transactions.len(),
        either: (either(true), either(false)),
        committed: events.iter().map(Vec::len).sum(),
        aborted,
        copied,
        latest,
    })
}

async fn read(client: &mut Client, topic: &str, committed: bool) -> Result<Seen> {
    let mut seen = Vec::new();
    for partition in 0..PARTITIONS {
        let page = client.read_all(topic, partition, committed).await?;
        let whole = client.read_all(topic, partition, false).await?.end;
        ensure!(page.end == whole, "a transaction stays open in {topic}/{partition} at {}", page.end);
        seen.push(page.records);
    }
    Ok(seen)
}

/// The transactions that were made, if these are the records of committed ones: each once and in its writer's order, of a
/// transaction all or none, of an aborted one none.
fn made(transactions: &Transactions, seen: &Seen) -> Result<BTreeSet<(&'static str, u64)>> {
    let mut texts = BTreeSet::new();
    for (partition, records) in seen.iter().enumerate() {
        let mut last = BTreeMap::new();
        for record in records {
            let text = record.value.as_deref().context("a value")?;
            let (writer, number) = text.split_once(' ').context("a writer")?;
            let (n, i) = number.split_once(' ').context("a number")?;
            let number: (u64, u64) = (n.parse()?, i.parse()?);
            let before = last.insert(writer, number);
            ensure!(before < Some(number), "{text} comes after {before:?} in partition {partition}");
            ensure!(texts.insert((partition as i32, text)), "{text} is there twice");
        }
    }
    let mut made = BTreeSet::new();
    let mut expected = 0;
    for (id, transaction) in transactions {
        let events = transaction.events.iter();
        let there = events.filter(|(p, text, _)| texts.contains(&(*p, text.as_str()))).count();
        let whole = transaction.events.len();
        ensure!(there == 0 || there == whole, "{there} records of {whole} are there of {id:?}");
        ensure!(there == 0 || transaction.fate != Fate::Aborted, "{id:?} was aborted and is there");
        ensure!(there > 0 || transaction.fate != Fate::Committed, "{id:?} was committed and is gone");
        expected += there;
        if there > 0 {
            made.insert(*id);
        }
    }
    ensure!(expected == texts.len(), "{} records are there, {expected} were written", texts.len());
    Ok(made)
}

/// Readers of everything see also what was aborted, once each; how much that is.
async fn aborted(
    client: &mut Client,
    transactions: &Transactions,
    made: &BTreeSet<(&'static str, u64)>,
) -> Result<usize> {
    let mut count = 0;
    for partition in 0..PARTITIONS {
        let mut seen = BTreeMap::<_, usize>::new();
        for record in client.read_all(EVENTS, partition, false).await?.records {
            *seen.entry(record.value.context("a value")?).or_default() += 1;
        }
        for (id, transaction) in transactions {
            for (_, text, acked) in transaction.events.iter().filter(|event| event.0 == partition) {
                let times = seen.get(text).copied().unwrap_or(0);
                ensure!(
                    times <= 1 && (times == 1 || !acked),
                    "{text} is there {times} times for who asks for all"
                );
                count += if made.contains(id) { 0 } else { times };
            }
        }
    }
    Ok(count)
}

/// The copies are the committed records before the group's positions, once and in order.
async fn copies(client: &mut Client, events: &Seen) -> Result<usize> {
    let copies = read(client, COPIES, true).await?;
    let partitions: Vec<_> = (0..PARTITIONS).collect();
    let positions = client.committed(GROUP, EVENTS, &partitions).await?;
    for (partition, (events, copies)) in events.iter().zip(&copies).enumerate() {
        let position = positions.get(&(partition as i32)).copied().unwrap_or(0);
        let expected: Vec<_> = events
            .iter()
            .filter(|record| record.offset < position)
            .map(|record| (Some(record.offset.to_string()), record.value.clone()))
            .collect();
        let copied: Vec<_> = copies.iter().map(|copy| (copy.key.clone(), copy.value.clone())).collect();
        ensure!(
            copied == expected,
            "partition {partition}: {} records lie before the position {position}, {} are copied",
            expected.len(),
            copied.len()
        );
    }
    Ok(copies.iter().map(Vec::len).sum())
}

/// The last value of every key is that of the last transaction that was made; how many records are left.
async fn latest(
    client: &mut Client,
    transactions: &Transactions,
    made: &BTreeSet<(&'static str, u64)>,
) -> Result<usize> {
    let mut expected = BTreeMap::new();
    for (_, transaction) in transactions.iter().filter(|(id, _)| made.contains(*id)) {
        expected.extend(transaction.latest.clone());
    }
    let records = client.read_all(LATEST, 0, true).await?.records;
    let left = records.len();
    let mut found = BTreeMap::new();
    for record in records {
        found.insert(record.key.context("a key")?, record.value);
    }
    // A deleted key may be there as a tombstone, or not at all.
    expected.retain(|_, value| value.is_some());
    found.retain(|_, value| value.is_some());
    ensure!(
        found == expected,
        "the compacted topic has {found:?}, the fold of what was committed {expected:?}"
    );
    Ok(left)
}

/// The judge is worth something: it sees what is wrong with the view of a reader who asks for everything, there were
/// aborted records to be seen, and the compaction, if there was time for it, has removed more than it has left.
pub(super) async fn would_notice(server: &Server, ledger: &Ledger, compacts: bool) -> Result<()> {
    let found = all(server, ledger).await?;
    let transactions = ledger.open().clone();
    let mut client = Client::connect(&server.kafka()).await?;
    let everything = read(&mut client, EVENTS, false).await?;
    let Err(wrong) = made(&transactions, &everything) else {
        anyhow::bail!("aborted records pass for committed ones: the check is worth nothing");
    };
    println!("for who asks for everything the check finds: {wrong}");
    ensure!(found.aborted > 0, "no record was ever aborted");
    ensure!(
        !compacts || found.latest * 2 < found.transactions,
        "{} records are left in the compacted topic",
        found.latest
    );
    Ok(())
}
