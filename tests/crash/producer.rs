//! Producers that never give up a request: the same idempotency key until it is acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::crew::{Crew, Hand};

/// What the server has acknowledged: (partition, offset) → (producer, number of the record).
#[derive(Default)]
pub(crate) struct Acked {
    pub(crate) records: Mutex<BTreeMap<(u64, u64), (u64, u64)>>,
}

pub(crate) fn start(url: String, acked: &Arc<Acked>, count: u64) -> Crew {
    let mut crew = Crew::new(url);
    for id in 0..count {
        crew.add(|hand| work(id, acked.clone(), hand));
    }
    crew
}

async fn work(id: u64, acked: Arc<Acked>, mut hand: Hand) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("a plain client");
    let (mut request, mut first) = (0u64, 0u64);
    loop {
        let count = 1 + (request * 7 + id) % 20;
        let body = json!({ "records": (first..first + count).map(|n| json!({
            "key": format!("k{}", (n * 31 + id) % 50), "value": { "amount": n % 100, "producer": id, "n": n },
        })).collect::<Vec<_>>() });
        let key = format!("crash-{id}-{request}");
        loop {
            // An unanswered request may be in its hand while it stands still.
            let Some(url) = hand.go().await else { return };
            let url = format!("{url}/v1/topics/in/records");
            let sent = http.post(url).header("idempotency-key", &key).json(&body).send().await;
            let Ok(response) = sent else {
                tokio::time::sleep(Duration::from_millis(3)).await;
                continue;
            };
            if !response.status().is_success() {
                tokio::time::sleep(Duration::from_millis(3)).await;
                continue;
            }
            let Ok(answer) = response.json::<Value>().await else { continue };
            note(&acked, id, first, &answer, &hand).await;
            break;
        }
        request += 1;
        first += count;
        hand.finished();
    }
}

async fn note(acked: &Acked, id: u64, first: u64, answer: &Value, hand: &Hand) {
    let mut records = acked.records.lock().await;
    for (n, result) in answer["results"].as_array().into_iter().flatten().enumerate() {
        let place =
            (result["partition"].as_u64().unwrap_or(u64::MAX), result["offset"].as_u64().unwrap_or(u64::MAX));
        let record = (id, first + n as u64);
        if let Some(other) = records.insert(place, record)
            && other != record
        {
            hand.complain(format!("{place:?} was acknowledged for {other:?} and for {record:?}"));
        }
    }
}
