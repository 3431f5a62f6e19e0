//! The server over HTTP, as a process of its own on the loopback, against the least that any server could do.
//!
//! ```text
//! cargo bench --bench http -- [single] [ndjson] [processor] [memory] [upload] [start] [--quick]
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its tables")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks and starts threads of its own")]

mod baseline;
mod echo;
mod memory;
mod ndjson;
mod processor;
mod single;
mod start;
#[path = "../support/mod.rs"]
mod support;
mod upload;

use anyhow::Result;
use support::Args;
use support::schedule::on_one_thread;

/// How the bench starts itself as the echo server.
const ECHO: &str = "--echo";

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some(ECHO) {
        return echo::serve();
    }
    on_one_thread(run(&Args::read()))
}

async fn run(args: &Args) -> Result<()> {
    if args.wants("single") {
        single::run(args).await?;
    }
    if args.wants("ndjson") {
        ndjson::run(args).await?;
    }
    if args.wants("processor") {
        processor::run(args).await?;
    }
    if args.wants("memory") {
        memory::run(args).await?;
    }
    if args.wants("upload") {
        upload::run(args).await?;
    }
    if args.wants("start") {
        start::run(args).await?;
    }
    Ok(())
}
