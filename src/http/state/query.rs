//! Queries: what a processor's own code answers over its state.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;

use super::shapes::{DeploymentPath, QueryQuery};
use super::{at, check_key, decode_key, put_position, stopping, typed};
use crate::http::App;
use crate::http::body::{Held, Whole, forget, read_whole};
use crate::http::codes::Code;
use crate::http::error::Problem;
use crate::http::extract::{Path, Query};
use crate::http::openapi::{Behind, CodeFailed, Conflict, Missing};
use crate::model::limits::QUERY_BYTES_MAX;
use crate::pipelines;
use crate::runtime::clock::monotonic;

/// Ask a processor
///
/// Hands the body, of at most 1 MiB, to the `query` of the deployment's code and answers with what it returns: JSON, text or
/// bytes, whichever it is. The code sees the committed state of one task at one moment, which `X-State-Position` names, and
/// changes nothing. With `after` the moment is behind that record.
#[utoipa::path(
    post, path = "/v1/deployments/{deployment}/query", tag = "state", params(DeploymentPath, QueryQuery),
    request_body(content(
        (serde_json::Value = "application/json"), (String = "text/plain"), (Vec<u8> = "application/octet-stream"))),
    responses(
        (status = 200, description = "the code's answer", content(
            (serde_json::Value = "application/json"), (String = "text/plain"), (Vec<u8> = "application/octet-stream"))),
        Missing, Conflict, CodeFailed, Behind,
    ),
)]
pub(in crate::http) async fn query(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(query): Query<QueryQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let key = match (query.key, query.key_base64) {
        (Some(_), Some(_)) => {
            return Err(Problem::new(
                Code::InvalidQuery,
                "key= and key_base64= name one key: give one of them",
            ));
        }
        (Some(text), None) => Some(Bytes::from(text)),
        (None, Some(text)) => Some(decode_key(&text).ok_or_else(|| {
            Problem::new(
                Code::InvalidQuery,
                format!("query parameter `key_base64` is `{text}`: expected base64"),
            )
        })?),
        (None, None) => None,
    };
    key.as_ref().map_or(Ok(()), |key| check_key(key))?;
    let (began, mut at) = (monotonic(), at(query.partition, query.after, query.wait));
    // The wait may be long, and others need the memory that the body would hold.
    let ready = app.until_stopping(app.pipelines.query_ready(&path.deployment, &at)).await;
    if let Err(refused) = ready.ok_or_else(stopping).and_then(|ready| Ok(ready?)) {
        forget(request.into_body(), QUERY_BYTES_MAX).await;
        return Err(refused);
    }
    let Whole { bytes, share } = read_whole(request.into_body(), QUERY_BYTES_MAX, &app.budget).await?;
    at.wait = at.wait.saturating_sub(began.elapsed());
    let asked = pipelines::Query { request: bytes, key, at };
    let queried = app.pipelines.query(&path.deployment, asked);
    let queried = app.until_stopping(queried).await.ok_or_else(stopping)??;
    drop(share);

    let (kind, body) = typed(queried.answer, None)?;
    let share = app.budget.take(body.len())?;
    let mut response = Response::new(Body::new(Held::new(body, share)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    put_position(&mut response, &queried.position);
    Ok(response)
}
