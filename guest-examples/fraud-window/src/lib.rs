//! Payments of a card in hopping windows of event time: when a window ends in which it paid more often than `count-max`, or
//! more than `sum-max` in all, an alert goes out. The key of a payment is its card, the value `{"amount": …}` in the
//! smallest unit of its currency.
//!
//! | store | key | row |
//! |---|---|---|
//! | `spent` | end of a pane, card | number and sum of its payments |

use std::ops::ControlFlow;
use std::time::Duration;

use millstream_sdk::timers::Timer;
use millstream_sdk::toolbox::{Merge, Stored, Windows};
use millstream_sdk::{Fault, Output, Processor, Record, Timed, config, params, processor};
use serde::Deserialize;

processor!(FraudWindow, timed);

params! {
    "window": {
        "type": "duration", "default": "10m", "min": "1s",
        "description": "the length of a window"
    },
    "hop": {
        "type": "duration", "default": "1m", "min": "1s",
        "description": "a window begins so often; the length is a multiple of it"
    },
    "count-max": {
        "type": "integer", "min": 0,
        "description": "payments of a card in a window that are no reason for an alert; without it their number is none"
    },
    "sum-max": {
        "type": "integer", "min": 0,
        "description": "the same for their sum"
    }
}

/// Alerts of a call; the rest of a window follows in the next one.
const ALERTS_MAX: usize = 10_000;

struct FraudWindow {
    count_max: u64,
    sum_max: u64,
    spent: Windows<Box<[u8]>, Spent>,
}

/// What a card has paid.
#[derive(Debug, Default)]
struct Spent {
    count: u64,
    sum: u64,
}

/// A record's value.
#[derive(Deserialize)]
struct Payment {
    amount: u64,
}

impl Processor for FraudWindow {
    fn open() -> Result<Self, String> {
        let [count_max, sum_max] = ["count-max", "sum-max"].map(config::parse::<u64>);
        let (count_max, sum_max) = (count_max?, sum_max?);
        if count_max.is_none() && sum_max.is_none() {
            return Err("neither `count-max` nor `sum-max` is given: there would be no alert".into());
        }
        let duration =
            |name, default| config::duration(name).map(|found| found.unwrap_or(Duration::from_secs(default)));
        Ok(Self {
            count_max: count_max.unwrap_or(u64::MAX),
            sum_max: sum_max.unwrap_or(u64::MAX),
            spent: Windows::hopping("spent", duration("window", 600)?, duration("hop", 60)?)?,
        })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        let mut payments = Vec::with_capacity(batch.len());
        for record in batch {
            let payment = payment(record).map_err(|why| record.fault(why))?;
            payments.push((record.timestamp(), Box::<[u8]>::from(record.key().unwrap_or_default()), payment));
        }
        self.spent.load(payments.iter().map(|(time, card, _)| (*time, card.clone())))?;
        for (time, card, payment) in &payments {
            let spent = self.spent.at(*time, card);
            spent.count += 1;
            spent.sum = spent.sum.saturating_add(payment.amount);
        }
        self.spent.flush();
        Ok(Vec::new())
    }
}

impl Timed for FraudWindow {
    fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault> {
        let (count_max, sum_max) = (self.count_max, self.sum_max);
        let mut alerts = Vec::new();
        for timer in due {
            self.spent.fire(timer, |window, card, Spent { count, sum }| {
                if count > count_max || sum > sum_max {
                    let card_text = serde_json::Value::from(String::from_utf8_lossy(card));
                    let value = format!(
                        r#"{{"card":{card_text},"start":{},"end":{},"count":{count},"sum":{sum}}}"#,
                        window.start, window.end
                    );
                    alerts.push(Output::new().key(&**card).value(value).timestamp(window.end - 1));
                }
                if alerts.len() < ALERTS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(alerts)
    }
}

fn payment(record: &Record<'_>) -> Result<Payment, String> {
    record.key().ok_or("a payment without a card as its key")?;
    if record.timestamp() < 0 {
        return Err("a payment without a time".into());
    }
    let value = record.value().ok_or("the value is null")?;
    serde_json::from_slice(value).map_err(|why| format!("the value is no payment: {why}"))
}

// === impl Spent ===

impl Merge for Spent {
    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
    }
}

impl Stored for Spent {
    fn put(&self, to: &mut Vec<u8>) {
        (self.count, self.sum).put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let (count, sum) = Stored::take(from)?;
        Some(Self { count, sum })
    }
}

#[cfg(test)]
mod tests;
