//! `millstream consume -g GROUP`: reads as a member of a group. What is printed is committed with the next request, so that
//! what was not printed comes again to somebody.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Consume, Encoding, PAGE, Position, Shape, WAIT, render};
use crate::cli::client::Call;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::runtime::backoff;

/// The server's answer to a pull.
#[derive(Deserialize)]
struct Pulled<'a> {
    member: String,
    #[serde(default)]
    rebalancing: bool,
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
    next_commit: Value,
}

/// A member and what it has printed and not committed.
struct Reader<'a> {
    session: &'a Session,
    args: &'a Consume,
    group: &'a str,
    member: Option<String>,
    commit: Option<Value>,
}

pub(super) async fn run(
    session: &Session,
    args: &Consume,
    group: &str,
    shape: &Shape,
) -> Result<(), Failure> {
    if args.partition.is_some() || args.to.is_some() {
        let what =
            "--partition and --to are for reading without a group, which assigns and remembers by itself";
        return Err(Failure::Usage(what.into()));
    }
    let mut reader = Reader { session, args, group, member: None, commit: None };
    let read = reader.read(shape).await;
    // Whatever ended it: what was printed is committed, and others need not wait for the member's time-out.
    let left = reader.leave().await;
    read.and(left)
}

impl Reader<'_> {
    async fn read(&mut self, shape: &Shape) -> Result<(), Failure> {
        let mut left = self.args.limit.unwrap_or(u64::MAX);
        let mut pause = 0;
        while left > 0 {
            let call = self.pull(shape, left.min(PAGE))?;
            let body = tokio::select! {
                body = self.session.client.bytes(call) => body,
                // Ctrl-C ends the command in good order.
                _ = tokio::signal::ctrl_c() => return Ok(()),
            };
            let body = match body {
                Ok(body) => body,
                Err(Failure::Problem(problem)) if problem.code == "rebalanced" && pause < 10 => {
                    pause += 1;
                    self.commit = None;
                    if problem.body.get("member").is_none_or(Value::is_null) {
                        self.member = None;
                    }
                    continue;
                }
                Err(failure) if self.args.follow && failure.code() == 6 && pause < 10 => {
                    pause += 1;
                    self.session.out.hint("connection lost; trying again");
                    tokio::time::sleep(backoff::pause(Duration::from_millis(250), pause)).await;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            pause = 0;
            let unreadable = |e| Failure::local("the server's answer is no page of records", e);
            let page: Pulled<'_> = serde_json::from_slice(&body).map_err(unreadable)?;
            let mut out = Vec::new();
            for record in &page.records {
                render(&self.args.topic, record.get(), shape, &mut out).map_err(unreadable)?;
            }
            self.member = Some(page.member);
            self.session.out.bytes(&out)?;
            self.commit = Some(page.next_commit);
            left = left.saturating_sub(page.records.len() as u64);
            if page.records.is_empty() && !page.rebalancing && !self.args.follow {
                return Ok(());
            }
        }
        Ok(())
    }

    fn pull(&self, shape: &Shape, limit: u64) -> Result<Call, Failure> {
        let start = match self.args.from {
            Position::Earliest => "earliest",
            Position::Latest => "latest",
            _ => {
                let what = "a group begins at --from earliest or latest; `millstream group reset` moves it elsewhere";
                return Err(Failure::Usage(what.into()));
            }
        };
        let format = if matches!(shape, Shape::Line) { self.args.format } else { Encoding::Base64 };
        // The first answer names the member. Until then Ctrl-C could not leave the group, so it is not waited for.
        let wait = if self.args.follow && self.member.is_some() { WAIT } else { Duration::ZERO };
        let mut body = json!({
            "topics": [self.args.topic], "limit": limit, "start": start, "format": format.as_str(),
            "wait": format!("{}ms", wait.as_millis()),
        });
        if let Some(member) = &self.member {
            body["member"] = json!(member);
        }
        if let Some(commit) = &self.commit {
            body["commit"] = commit.clone();
        }
        Ok(Call::post(&["v1", "groups", self.group, "pull"]).json(&body).takes(WAIT))
    }

    async fn leave(&mut self) -> Result<(), Failure> {
        let Some(member) = self.member.take() else { return Ok(()) };
        if let Some(mut commit) = self.commit.take() {
            commit["member"] = json!(member);
            let call = Call::post(&["v1", "groups", self.group, "commit"]).json(&commit);
            self.session.client.bytes(call).await?;
        }
        let call = Call::delete(&["v1", "groups", self.group, "members", &member]);
        self.session.client.bytes(call).await.map(drop)
    }
}
