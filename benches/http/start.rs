//! From the start of the process to its first answer: empty, with 100 topics after a stop, and after a kill.

use std::time::Duration;

use anyhow::Result;

use crate::support::events::{Clicks, lines};
use crate::support::process::rss;
use crate::support::server::Server;
use crate::support::{Args, median, mib, number, table};

const TOPICS: usize = 100;

pub(crate) async fn run(args: &Args) -> Result<()> {
    let rounds = args.pick(5, 1);
    let mut empty = Vec::new();
    for _ in 0..rounds {
        empty.push(millis(Server::start(&[]).await?.ready_after));
    }

    let data = tempfile::Builder::new().prefix("millstream-bench-").tempdir()?;
    let mut server = Server::start_in(data.path(), &[]).await?;
    let mut clicks = Clicks::new(9);
    for topic in 0..TOPICS {
        server.create_topic(&format!("topic-{topic}"), 4).await?;
        server.produce_lines(&format!("topic-{topic}"), lines(&mut clicks, 200)).await?;
    }
    let (mut stopped, mut killed, mut memory) = (Vec::new(), Vec::new(), 0);
    for round in 0..rounds {
        server.stop().await?;
        server = Server::start_in(data.path(), &[]).await?;
        stopped.push(millis(server.ready_after));
        memory = rss(server.pid());
        server.produce_lines(&format!("topic-{round}"), lines(&mut clicks, 200)).await?;
        server.kill()?;
        server = Server::start_in(data.path(), &[]).await?;
        killed.push(millis(server.ready_after));
    }
    table(
        "Start of the process until it is ready",
        &["", "ms, median", "RSS then"],
        &[
            vec!["empty data directory".to_owned(), number(median(empty)), "–".to_owned()],
            vec![format!("{TOPICS} topics, stopped before"), number(median(stopped)), mib(memory)],
            vec![format!("{TOPICS} topics, killed before"), number(median(killed)), "–".to_owned()],
        ],
    );
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
