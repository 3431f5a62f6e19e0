//! What deployments have logged, read from the internal topic in which the lines are kept.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::consume::{Answer, Line, PING, Source, answer, bounded, respond, stream};
use super::error::Problem;
use super::extract::{Path, Query};
use super::openapi::{Missing, NotAcceptable};
use super::position::Time;
use crate::broker::read::{OffsetSpec, ReadLimits};
use crate::broker::{Isolation, ReadError, TopicHandle};
use crate::model::limits::MIB;
use crate::model::{DeploymentName, Offset, Partition, Record, TimestampMs};
use crate::pipelines::logs_topic;
use crate::runtime::clock::monotonic;

/// Lines of an answer unless asked otherwise, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 10_000;
/// The newest lines of all deployments that one request looks at. 200,000 take about a tenth of a second (a guess).
const LOOKED_AT_MAX: u64 = 200_000;
/// Offsets that are looked at together, at first and at most: ten times what is asked for by default, and no more than lets
/// 200,000 be looked at in some ten steps (guesses).
const WINDOW_MIN: Offset = 1_000;
const WINDOW_MAX: Offset = 16_000;
/// What is read and looked through in one go. Small, for those who wait for the same thread meanwhile.
const PAGE: ReadLimits =
    ReadLimits { records: 1_000, bytes: MIB / 4, wait: Duration::ZERO, isolation: Isolation::Committed };
/// All lines are in one partition.
const PARTITION: Partition = 0;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct DeploymentPath {
    /// the deployment
    deployment: String,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct LogsQuery {
    /// not older than this: milliseconds, RFC 3339, or back from now (`-15m`)
    #[param(value_type = Option<String>)]
    since: Option<Time>,
    /// older than this
    #[param(value_type = Option<String>)]
    until: Option<Time>,
    /// this level or a more serious one
    #[param(inline)]
    level: Option<Level>,
    /// the newest so many; default 100
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
    /// only lines with this text
    contains: Option<String>,
    /// go on with new lines as NDJSON
    follow: bool,
}

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// A line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogLine)]
pub(super) struct LineBody {
    /// milliseconds since 1970
    timestamp: TimestampMs,
    deployment: String,
    /// the task; of an inline deployment the partition that was produced to
    partition: Partition,
    level: Level,
    text: String,
}

/// Lines, the newest last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogLines)]
pub(super) struct Lines {
    items: Vec<LineBody>,
}

/// Which lines.
#[derive(Clone)]
struct Filter {
    deployment: DeploymentName,
    level: Option<Level>,
    contains: Option<String>,
    until_ms: Option<TimestampMs>,
}

/// Read a deployment's log
///
/// The newest lines that fit, oldest first, among the newest 200,000 of all deployments; with `Accept: text/event-stream` (or `follow=true` for NDJSON) it goes on
/// with new ones.
#[utoipa::path(
    get, path = "/v1/deployments/{deployment}/logs", tag = "deployments", params(DeploymentPath, LogsQuery),
    responses(
        (status = 200, description = "lines", content(
            (Lines = "application/json"), (String = "application/x-ndjson"), (String = "text/event-stream"))),
        Missing, NotAcceptable,
    ),
)]
pub(super) async fn logs(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(query): Query<LogsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let deployment = app.pipelines.describe(&path.deployment)?.name;
    let answer = answer(&headers, query.follow)?;
    let limit = bounded("limit", query.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let now_ms = app.now_ms();
    let filter = Filter {
        deployment,
        level: query.level,
        contains: query.contains.filter(|text| !text.is_empty()),
        until_ms: query.until.map(|t| t.at(now_ms)),
    };
    let topic = app.topic(logs_topic().as_str())?;
    let begin = match query.since {
        Some(since) => OffsetSpec::Timestamp(since.at(now_ms)),
        None => OffsetSpec::Back(LOOKED_AT_MAX),
    };
    let (lines, next) = newest(&app, &topic, &filter, begin, limit).await?;
    if let Answer::Live(wire) = answer {
        let source = LogSource { topic, next, filter, backlog: lines };
        return Ok(stream(&app, source, wire));
    }
    let page = answer == Answer::Page;
    let mut out = Vec::with_capacity(lines.iter().map(|l| l.len() + 1).sum::<usize>() + 16);
    if page {
        out.extend_from_slice(b"{\"items\":[");
    }
    for (index, line) in lines.iter().enumerate() {
        if page && index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(line);
        if !page {
            out.push(b'\n');
        }
    }
    if page {
        out.extend_from_slice(b"]}");
    }
    respond(&app, out, answer)
}

/// The newest lines that fit, oldest first, and the offset behind the last one looked at. From the end backwards, so that a
/// few lines of a long log cost little.
async fn newest(
    app: &App,
    topic: &TopicHandle,
    filter: &Filter,
    begin: OffsetSpec,
    limit: usize,
) -> Result<(VecDeque<Bytes>, Offset), Problem> {
    let least = app.broker.resolve_offset(topic, PARTITION, OffsetSpec::Back(LOOKED_AT_MAX)).await?;
    let begin = app.broker.resolve_offset(topic, PARTITION, begin).await?.max(least);
    let end = app.broker.resolve_offset(topic, PARTITION, OffsetSpec::Latest).await?;
    let (mut lines, mut to, mut width) = (VecDeque::new(), end, WINDOW_MIN);
    while begin < to && lines.len() < limit {
        let from = begin.max(to.saturating_sub(width));
        let mut older = window(app, topic, filter, from..to, limit - lines.len()).await?;
        older.append(&mut lines);
        (lines, to, width) = (older, from, WINDOW_MAX.min(width * 2));
    }
    Ok((lines, end))
}

/// The lines of these offsets that fit, the newest `most` of them; without those that retention deletes meanwhile.
async fn window(
    app: &App,
    topic: &TopicHandle,
    filter: &Filter,
    offsets: Range<Offset>,
    most: usize,
) -> Result<VecDeque<Bytes>, Problem> {
    let (mut lines, mut next) = (VecDeque::new(), offsets.start);
    while next < offsets.end {
        let page = match app.broker.read(topic, PARTITION, next, PAGE).await {
            Ok(page) => page,
            Err(ReadError::OutOfRange { start, .. }) if next < start => {
                next = start;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if page.next_offset == next {
            break;
        }
        next = page.next_offset;
        let fit = page.records.into_iter().filter(|(offset, _)| offsets.contains(offset));
        for line in fit.filter_map(|(_, record)| filter.line(record)) {
            if lines.len() == most {
                lines.pop_front();
            }
            // A copy, so that a line does not keep its batch in memory.
            lines.push_back(Bytes::copy_from_slice(&line));
        }
        // A log that is all in memory would else keep its thread to itself.
        tokio::task::yield_now().await;
    }
    Ok(lines)
}

/// New lines as they come.
struct LogSource {
    topic: Arc<TopicHandle>,
    next: Offset,
    filter: Filter,
    backlog: VecDeque<Bytes>,
}

impl Source for LogSource {
    const EVENT: &'static str = "log";

    async fn next(&mut self, app: &App) -> Result<Vec<Line>, Problem> {
        let line = |json: Bytes| Line { json: json.into(), id: None, event: None };
        if !self.backlog.is_empty() {
            return Ok(std::mem::take(&mut self.backlog).into_iter().map(line).collect());
        }
        let started = monotonic();
        loop {
            let limits = ReadLimits { wait: PING.saturating_sub(started.elapsed()), ..PAGE };
            let page = app.broker.read(&self.topic, PARTITION, self.next, limits).await?;
            self.next = page.next_offset;
            let fit = page.records.into_iter().filter_map(|(_, record)| self.filter.line(record));
            let lines: Vec<_> = fit.map(line).collect();
            if !lines.is_empty() || started.elapsed() >= PING {
                return Ok(lines);
            }
            // A log that is all in memory would else keep its thread to itself.
            tokio::task::yield_now().await;
        }
    }
}

// === impl Filter ===

impl Filter {
    /// The line as it is stored, if it fits.
    fn line(&self, record: Record) -> Option<Bytes> {
        if record.key.as_deref() != Some(self.deployment.as_str().as_bytes()) {
            return None;
        }
        if self.until_ms.is_some_and(|until| record.timestamp >= until) {
            return None;
        }
        let value = record.value?;
        (self.level.is_none() && self.contains.is_none() || self.fits(&value)).then_some(value)
    }

    fn fits(&self, value: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Stored<'a> {
            level: Level,
            #[serde(borrow)]
            text: Cow<'a, str>,
        }
        let Ok(stored) = serde_json::from_slice::<Stored<'_>>(value) else { return false };
        self.level.is_none_or(|least| stored.level >= least)
            && self.contains.as_deref().is_none_or(|text| stored.text.contains(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_by_deployment_level_time_and_text() {
        let record = |deployment: &str, level: &str, at| Record {
            key: Some(Bytes::from(deployment.to_owned())),
            value: Some(Bytes::from(format!(
                r#"{{"timestamp":{at},"level":"{level}","text":"say \"hi\""}}"#
            ))),
            timestamp: at,
            headers: Vec::new(),
        };
        let all = Filter {
            deployment: DeploymentName::parse("d").unwrap(),
            level: None,
            contains: None,
            until_ms: Some(10),
        };
        assert!(all.line(record("d", "info", 9)).is_some());
        assert!(all.line(record("e", "info", 9)).is_none());
        assert!(all.line(record("d", "info", 10)).is_none());
        let warn = Filter { level: Some(Level::Warn), ..all.clone() };
        assert!(warn.line(record("d", "error", 1)).is_some());
        assert!(warn.line(record("d", "info", 1)).is_none());
        let text = Filter { contains: Some("\"hi\"".into()), ..all };
        assert!(text.line(record("d", "info", 1)).is_some());
    }
}
