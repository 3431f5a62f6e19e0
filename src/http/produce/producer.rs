//! Producers that number their records, so that a request which is sent again stores nothing twice: `Producer-Id`,
//! `Producer-Epoch` and `Producer-Seq`, on the same state as Kafka's idempotent producers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::IDEMPOTENCY_KEY;
use crate::broker::{Initialize, Records, Stamped, TopicHandle};
use crate::http::App;
use crate::http::codes::Code;
use crate::http::error::Problem;
use crate::http::extract::{NoQuery, Query, header_text};
use crate::model::batch::ProducerStamp;
use crate::model::{Offset, Partition, TimestampMs};

static PRODUCER_ID: HeaderName = HeaderName::from_static("producer-id");
static PRODUCER_EPOCH: HeaderName = HeaderName::from_static("producer-epoch");
static PRODUCER_SEQ: HeaderName = HeaderName::from_static("producer-seq");

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes headers for the OpenAPI document")]
pub(in crate::http) struct ProducerHeaders {
    /// with `Producer-Seq`: who sends, as `POST /v1/producers` answered. The records are of one partition and become one
    /// batch; a repetition stores nothing and says `duplicate`. Not for NDJSON, not with Idempotency-Key
    #[param(rename = "Producer-Id", minimum = 0)]
    producer_id: Option<i64>,
    /// default 0; a higher one fences those before it, and begins at sequence 0 again
    #[param(rename = "Producer-Epoch", minimum = 0)]
    producer_epoch: Option<i16>,
    /// number of the first record among the producer's records in this partition, from 0
    #[param(rename = "Producer-Seq", minimum = 0)]
    producer_seq: Option<i32>,
}

/// A producer.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct NewProducer {
    /// for `Producer-Id`; never given to anybody else
    producer_id: i64,
    /// for `Producer-Epoch`
    producer_epoch: i16,
}

/// What became of numbered records.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProducedBatch)]
pub(super) struct StampedAnswer {
    partition: Partition,
    /// of the first record; absent when transforms left nothing
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<Offset>,
    /// records that were sent
    count: u32,
    /// they were stored before, at this offset
    duplicate: bool,
    /// number of the next record in this partition
    next_seq: i32,
}

/// Make a producer id
///
/// For producers that number their records (`Producer-Id`, `Producer-Epoch`, `Producer-Seq`).
#[utoipa::path(
    post, path = "/v1/producers", tag = "produce",
    responses((status = 201, description = "an id of its own", body = NewProducer)),
)]
pub(in crate::http) async fn new_producer(
    State(app): State<App>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<Response, Problem> {
    let request = Initialize { transactional_id: None, timeout_ms: 0, asked: None };
    let producer = app.broker.init_producer(request).await?;
    let body = NewProducer { producer_id: producer.id, producer_epoch: producer.epoch };
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}

/// What the headers say, if they say anything.
///
/// # Errors
/// `InvalidHeader`.
pub(super) fn numbered(headers: &HeaderMap) -> Result<Option<ProducerStamp>, Problem> {
    let id = number::<i64>(headers, &PRODUCER_ID)?;
    let epoch = number::<i16>(headers, &PRODUCER_EPOCH)?;
    let sequence = number::<i32>(headers, &PRODUCER_SEQ)?;
    let (id, base_sequence) = match (id, sequence) {
        (Some(id), Some(sequence)) => (id, sequence),
        (None, None) if epoch.is_none() => return Ok(None),
        _ => {
            let detail = "Producer-Id and Producer-Seq go together";
            return Err(Problem::new(Code::InvalidHeader, detail));
        }
    };
    if headers.contains_key(&IDEMPOTENCY_KEY) {
        let detail = "Idempotency-Key and Producer-Seq exclude each other: each alone keeps records from being stored twice";
        return Err(Problem::new(Code::InvalidHeader, detail));
    }
    Ok(Some(ProducerStamp { id, epoch: epoch.unwrap_or(0), base_sequence, transactional: false }))
}

/// Refuses the headers where they have no meaning.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
    if numbered(headers)?.is_some() {
        let detail = "Producer-Seq is for JSON bodies: an NDJSON body is many commits";
        return Err(Problem::new(Code::InvalidHeader, detail));
    }
    Ok(())
}

/// None yet, of a producer that numbers them or of another.
pub(super) fn records(
    numbered: Option<&ProducerStamp>,
    topic: Arc<TopicHandle>,
    bytes: usize,
    now_ms: TimestampMs,
) -> Records {
    match numbered {
        Some(_) => Records::numbered(topic, bytes, now_ms),
        None => Records::new(topic, bytes, now_ms),
    }
}

/// Stores them once.
pub(super) async fn store(app: &App, records: Records, stamp: ProducerStamp) -> Result<Response, Problem> {
    let Stamped { partition, count, next_sequence, appended } =
        Box::pin(app.broker.produce_stamped(records, stamp)).await?;
    let answer = StampedAnswer {
        partition,
        offset: appended.base_offset,
        count,
        duplicate: appended.duplicate,
        next_seq: next_sequence,
    };
    Ok(axum::Json(answer).into_response())
}

fn number<T: std::str::FromStr + PartialOrd + From<i8>>(
    headers: &HeaderMap,
    name: &HeaderName,
) -> Result<Option<T>, Problem> {
    let Some(text) = header_text(headers, name)? else { return Ok(None) };
    let number = text.parse().ok().filter(|number| *number >= T::from(0));
    number.map(Some).ok_or_else(|| {
        Problem::new(Code::InvalidHeader, format!("header `{name}` is `{text}`, expected a number from 0"))
    })
}
