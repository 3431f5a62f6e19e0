//! The same in two stages, for any number of partitions. Views are partitioned by session, rows by item: the first stage
//! keeps sessions and tells which items met, the second keeps rows and lists. Between them lies the deployment's internal
//! topic `pairs`, so the commit of a view holds its session and its pairs, and that of a pair its row.
//!
//! ```text
//! pair   key: item before, as text | value: meeting*
//! meeting = item after it varint | step u8
//! ```
//!
//! The meetings of a call's items travel together. A prediction needs session and row in one place and is not to be had.

use std::collections::BTreeMap;

use common::{Reader, put_varint};
use millstream_sdk::{Fault, Output, Record, config};

use super::row::STEPS_MAX;
use super::{AlsoViewed, Emit, Event, PREDICTED, events, list, remember};

/// The internal topic, as input and as route.
const PAIRS: &str = "pairs";

/// Index of the internal topic among the inputs; none: the deployment has one stage.
///
/// # Errors
/// A deployment that cannot work in two.
pub(crate) fn topic(emit: Emit) -> Result<Option<u32>, String> {
    let Some(index) = config::inputs().iter().position(|name| name == PAIRS) else { return Ok(None) };
    if !config::outputs().iter().any(|name| name == PAIRS) {
        return Err("topic `pairs` is an input and no route; declare it as `internal: {pairs: {}}`".into());
    }
    if emit == Emit::Prediction {
        return Err(
            "parameter `emit`: a prediction needs the session and the row of its item in one task".into()
        );
    }
    Ok(Some(index as u32))
}

impl AlsoViewed {
    /// Takes each record through the stage that it is for.
    pub(crate) fn staged(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        let mut outputs = Vec::new();
        for run in batch.chunk_by(|a, b| a.topic() == b.topic()) {
            outputs.extend(if Some(run[0].topic()) == self.pairs {
                self.collect(run)
            } else {
                self.pair(run)
            }?);
        }
        Ok(outputs)
    }

    /// First stage: sessions in, pairs out.
    fn pair(&self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        let events = events(batch)?;
        let mut sessions = self.read_sessions(&events)?;
        // In the order of items: what comes out depends on what comes in alone.
        let mut pairs = BTreeMap::<u32, Vec<u8>>::new();
        for Event { session, item } in &events {
            let past = sessions.get_mut(&*session.text).expect("read for every session of the batch");
            for (back, &before) in past.iter().rev().enumerate() {
                let meetings = pairs.entry(before).or_default();
                put_varint(u64::from(item.0), meetings);
                meetings.push((back + 1) as u8);
            }
            remember(past, item.0);
        }
        self.write_sessions(&sessions);
        let pair = |(before, meetings): (u32, Vec<u8>)| {
            Output::new().topic(PAIRS).key(before.to_string()).value(meetings)
        };
        Ok(pairs.into_iter().map(pair).collect())
    }

    /// Second stage: pairs in, rows and lists out.
    fn collect(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        let pairs: Vec<_> = batch.iter().map(meetings).collect::<Result<_, _>>()?;
        self.read_rows(pairs.iter().map(|(before, _)| *before).collect())?;
        for (before, meetings) in &pairs {
            for (item, step) in meetings {
                self.meet(*before, *item, *step);
            }
        }
        let mut outputs = Vec::new();
        if self.emit == Emit::List {
            for id in self.changed.clone() {
                let best = self.cached(id).row.best(PREDICTED);
                outputs.push(Output::new().key(id.to_string()).value(format!("{{{}}}", list(id, &best))));
            }
        }
        self.write_rows();
        Ok(outputs)
    }
}

/// An item and what came after it, in how many steps.
fn meetings(record: &Record<'_>) -> Result<(u32, Vec<(u32, usize)>), Fault> {
    let read = || {
        let before = std::str::from_utf8(record.key()?).ok()?.parse().ok()?;
        let mut reader = Reader::new(record.value()?);
        let mut meetings = Vec::new();
        while !reader.is_empty() {
            let (item, step) = (reader.varint32()?, usize::from(reader.byte()?));
            (1..=STEPS_MAX).contains(&step).then(|| meetings.push((item, step)))?;
        }
        Some((before, meetings))
    };
    read().ok_or_else(|| record.fault("no pairs of this version"))
}
