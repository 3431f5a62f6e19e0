//! The life of a deployment: to another version and back, and its revisions.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::deployments::{ApplyAnswer, ChangeQuery, DeploymentPath, Fate, answer};
use super::error::Problem;
use super::extract::{Json, NoQuery, OptionalJson, Path, Query, conditions};
use super::openapi::{Conflict, Missing, Precondition, Unprocessable};
use super::page::{self, Page};
use super::runs::param;
use crate::model::deployment::StateFate;
use crate::model::revision::StateChange;
use crate::pipelines::{ApplyOptions, RevisionView, Rollback, Upgrade};

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct RevisionsQuery {
    /// at most so many; default 1000
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// from the page before
    page_token: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct RevisionPath {
    /// the deployment
    deployment: String,
    /// the revision's number
    revision: u64,
}

/// Another version of the code.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpgradeBody {
    /// `name`, `name@1.2.3` or `name@sha256:…`
    module: String,
    /// default `keep`
    #[serde(default)]
    #[schema(value_type = Option<NewState>, inline)]
    state: StateChange,
    /// parameters that change; null removes one
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    params: BTreeMap<String, Value>,
    /// as the query parameter
    #[serde(default)]
    dry_run: bool,
}

/// What becomes of the state.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes a member for the OpenAPI document")]
pub(super) enum NewState {
    /// the new version goes on with it
    Keep,
    /// is dropped; positions are kept
    Clear,
    /// the new version's `migrate` works on it before its first batch
    Migrate,
}

/// An earlier revision.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RollbackBody {
    /// default: the newest one before that had another spec or other code
    revision: Option<u64>,
    /// default `keep`
    #[schema(value_type = Option<Fate>, inline)]
    state: StateFate,
    /// keep the state as it is, also when a later version has cleared or migrated it
    force: bool,
    /// as the query parameter
    dry_run: bool,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header for the OpenAPI document")]
pub(super) struct MatchHeader {
    /// change it only if it still has this ETag
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// Upgrade a deployment
///
/// The old code goes on until the new one is loaded and opened; then it takes over at one offset of every partition, without
/// losing or repeating a record. What cannot be started is refused and changes nothing.
#[utoipa::path(
    post, path = "/v1/deployments/{deployment}/upgrade", tag = "deployments",
    params(DeploymentPath, ChangeQuery, MatchHeader), request_body = UpgradeBody,
    responses((status = 200, description = "the new version runs, or what would change", body = ApplyAnswer), Missing, Conflict, Precondition, Unprocessable),
)]
pub(super) async fn upgrade(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    Json(body): Json<UpgradeBody>,
) -> Result<Response, Problem> {
    let change = |(name, value): (String, Value)| {
        let text = if value.is_null() { None } else { Some(param(&name, value)?) };
        Ok((name, text))
    };
    let params = body.params.into_iter().map(change).collect::<Result<_, Problem>>()?;
    let options = options(&headers, query.dry_run || body.dry_run)?;
    let upgrade = Upgrade { module: body.module, state: body.state, params };
    answer(app.pipelines.upgrade(&path.deployment, upgrade, options).await?, options.dry_run)
}

/// Roll a deployment back
///
/// To the spec and the code of an earlier revision; it makes a new one. Positions stay where they are. Without a body it goes to
/// the newest revision before that had another spec or other code.
#[utoipa::path(
    post, path = "/v1/deployments/{deployment}/rollback", tag = "deployments",
    params(DeploymentPath, ChangeQuery, MatchHeader), request_body = Option<RollbackBody>,
    responses((status = 200, description = "the earlier version runs, or what would change", body = ApplyAnswer), Missing, Conflict, Precondition, Unprocessable),
)]
pub(super) async fn rollback(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<RollbackBody>,
) -> Result<Response, Problem> {
    let options = options(&headers, query.dry_run || body.dry_run)?;
    let clear = body.state == StateFate::Clear;
    let rollback = Rollback { revision: body.revision, clear, force: body.force };
    answer(app.pipelines.rollback(&path.deployment, rollback, options).await?, options.dry_run)
}

fn options(headers: &HeaderMap, dry_run: bool) -> Result<ApplyOptions, Problem> {
    let revision = conditions(headers)?.of_present()?.revision;
    Ok(ApplyOptions { if_revision: revision, if_absent: false, dry_run })
}

/// List revisions
///
/// What has become of a deployment, newest first; the newest 50 are kept.
#[utoipa::path(
    get, path = "/v1/deployments/{deployment}/revisions", tag = "deployments", params(DeploymentPath, RevisionsQuery),
    responses((status = 200, description = "each with how it differs from the one before", body = Page<RevisionView>), Missing),
)]
pub(super) async fn revisions(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(query): Query<RevisionsQuery>,
) -> Result<axum::Json<Page<RevisionView>>, Problem> {
    let views = app.pipelines.revisions(&path.deployment).await?;
    // Names in ascending order for numbers in descending order.
    let named: Vec<_> = views.into_iter().map(|v| (format!("{:020}", u64::MAX - v.revision), v)).collect();
    Ok(axum::Json(page::page(named, query.limit, query.page_token.as_deref(), |(name, _)| name, |(_, v)| v)?))
}

/// Describe a revision
#[utoipa::path(
    get, path = "/v1/deployments/{deployment}/revisions/{revision}", tag = "deployments", params(RevisionPath),
    responses((status = 200, description = "with its spec", body = RevisionView), Missing),
)]
pub(super) async fn revision(
    State(app): State<App>,
    Path(path): Path<RevisionPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<axum::Json<RevisionView>, Problem> {
    Ok(axum::Json(app.pipelines.revision(&path.deployment, path.revision).await?))
}
