//! The life of a deployment: its revisions.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::deployments::DeploymentPath;
use super::error::Problem;
use super::extract::{NoQuery, Path, Query};
use super::openapi::Missing;
use super::page::{self, Page};
use crate::pipelines::RevisionView;

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
