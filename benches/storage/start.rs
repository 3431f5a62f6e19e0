//! Opening a data directory with 100 topics. The start of the whole server is in the bench `http`.

use std::time::Instant;

use anyhow::Result;
use millstream::storage::Commit;

use crate::support::{Args, median, number, table};
use crate::{batches, create_topic, open};

const TOPICS: usize = 100;

pub(crate) async fn run(args: &Args) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
    let begin = Instant::now();
    let storage = open(dir.path())?;
    let batches = batches(8);
    for number in 0..TOPICS {
        let logs = create_topic(&storage, &format!("topic-{number}")).await?;
        let mut commit = Commit::new();
        for (log, batch) in logs.iter().zip(&batches) {
            commit.append(log, batch.clone());
        }
        storage.commit(commit).await?;
    }
    let made = begin.elapsed();
    storage.close();
    drop(storage);

    let mut opened = Vec::new();
    for _ in 0..args.pick(7, 2) {
        let begin = Instant::now();
        let storage = open(dir.path())?;
        opened.push(begin.elapsed().as_secs_f64() * 1000.0);
        storage.close();
    }
    table(
        "Opening a data directory with 100 topics of 8 partitions",
        &["", "ms"],
        &[
            vec!["making the topics, each".to_owned(), number(made.as_secs_f64() * 1000.0 / TOPICS as f64)],
            vec!["opening, median".to_owned(), number(median(opened))],
        ],
    );
    Ok(())
}
