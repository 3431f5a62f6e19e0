//! Deployments: apply, describe, patch, pause, resume, restart, rewind, delete.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::answer::{insert, with_etag};
use super::codes::Code;
use super::error::Problem;
use super::extract::{Conditions, Document, Json, NoQuery, Path, Query, conditions};
use super::openapi::{Conflict, Missing, Precondition, Unprocessable};
use super::page::{self, Page};
use crate::model::DeploymentName;
use crate::model::deployment::{RewindTo, StateFate};
use crate::pipelines::{Applied, ApplyOptions, Change, DeploymentView, RewindPlan};

/// How often a merge-patch without `If-Match` is tried again when somebody else changed the deployment meanwhile.
const PATCH_TRIES: usize = 5;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct DeploymentPath {
    /// the deployment
    pub(super) deployment: String,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// only names that begin so
    prefix: String,
    /// at most so many; default 1000
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// from the page before
    page_token: Option<String>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangeQuery {
    /// check everything, change nothing, answer with the differences
    pub(super) dry_run: bool,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct RestartQuery {
    /// only the tasks that failed
    only_failed: bool,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteQuery {
    /// `keep`: a later deployment of the same name goes on with the state; default `clear`
    #[param(value_type = Option<Fate>, inline)]
    state: Option<StateFate>,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes headers for the OpenAPI document")]
pub(super) struct ConditionHeaders {
    /// change it only if it still has this ETag; `*`: only if it exists
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// `*`: only if it does not exist
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header for the OpenAPI document")]
pub(super) struct DeleteHeader {
    /// delete it only if it still has this ETag
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// What becomes of the state.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes a parameter for the OpenAPI document")]
pub(super) enum Fate {
    /// stays as it is
    Keep,
    /// is dropped
    Clear,
}

/// Where to go, and what becomes of the state.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rewind {
    /// `earliest`, `latest`, `{"timestamp": ms}`, `{"offsets": {"topic": {"0": 12}}}` or `{"shift_by": -100}`; a source goes to
    /// `earliest`, `{"cursor": "text"}` or `{"cursor_base64": "…"}` alone
    #[schema(schema_with = super::openapi::rewind_to_schema)]
    to: RewindTo,
    /// default `keep`
    #[serde(default)]
    #[schema(value_type = Fate, inline)]
    state: StateFate,
}

/// What an apply would do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DryRun {
    /// it is not there yet
    created: bool,
    /// spec or code would differ from now
    changed: bool,
    changes: Vec<Change>,
}

/// The deployment, or in a dry run what would change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the answer for the OpenAPI document")]
pub(super) enum ApplyAnswer {
    /// as it is now
    Deployment(Box<DeploymentView>),
    /// of a dry run
    DryRun(DryRun),
}

/// List deployments
#[utoipa::path(
    get, path = "/v1/deployments", tag = "deployments", params(ListQuery),
    responses((status = 200, description = "deployments in name order", body = Page<DeploymentView>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<DeploymentView>>, Problem> {
    let mut views = app.pipelines.list();
    views.retain(|v| v.name.as_str().starts_with(&query.prefix));
    let token = query.page_token.as_deref();
    Ok(axum::Json(page::page(views, query.limit, token, |v| v.name.as_str(), |v| v)?))
}

/// Apply a deployment
///
/// Creates it or changes it to what the spec says, in JSON or YAML; the same spec again changes nothing.
#[utoipa::path(
    put, path = "/v1/deployments/{deployment}", tag = "deployments",
    params(DeploymentPath, ChangeQuery, ConditionHeaders),
    request_body(content((super::spec::Spec = "application/json"), (super::spec::Spec = "application/yaml"))),
    responses(
        (status = 200, description = "changed, or as it was", body = ApplyAnswer),
        (status = 201, description = "created", body = DeploymentView),
        Missing, Conflict, Precondition, Unprocessable,
    ),
)]
pub(super) async fn apply(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    Document(body): Document,
) -> Result<Response, Problem> {
    let conditions = conditions(&headers)?;
    let name = parse_name(&path.deployment)?;
    if conditions.present {
        app.pipelines
            .describe(name.as_str())
            .map_err(|error| Problem::new(Code::PreconditionFailed, format!("If-Match is *, and {error}")))?;
    }
    let spec = super::spec::read(body, &name, app.pipelines.ceiling())?;
    let applied = app.pipelines.apply(spec, options(conditions, query.dry_run)).await?;
    answer(applied, query.dry_run)
}

/// Change a deployment
///
/// A JSON merge-patch (RFC 7396) of its spec, such as `{"params": {"top": 5}}`.
#[utoipa::path(
    patch, path = "/v1/deployments/{deployment}", tag = "deployments",
    params(DeploymentPath, ChangeQuery, ConditionHeaders),
    request_body(content((Object = "application/merge-patch+json"), (Object = "application/json"))),
    responses((status = 200, description = "changed, or as it was", body = ApplyAnswer), Missing, Conflict, Precondition, Unprocessable),
)]
pub(super) async fn patch(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let conditions = conditions(&headers)?;
    let mut tries = 0;
    loop {
        tries += 1;
        let now = app.pipelines.describe(&path.deployment)?;
        let mut merged = serde_json::to_value(&now.spec).unwrap_or_default();
        merge(&mut merged, Value::Object(body.clone()));
        let Value::Object(merged) = merged else {
            return Err(Problem::new(Code::Internal, "a spec that is no object"));
        };
        let spec = super::spec::read(merged, &now.name, app.pipelines.ceiling())?;
        // Against the revision that was patched: what somebody else changed meanwhile is not undone.
        let revision = conditions.revision.or(Some(now.revision));
        let options =
            ApplyOptions { if_revision: revision, if_absent: conditions.absent, dry_run: query.dry_run };
        match app.pipelines.apply(spec, options).await {
            Err(crate::pipelines::DeployError::Revision { .. })
                if conditions.revision.is_none() && tries < PATCH_TRIES => {}
            applied => return answer(applied?, query.dry_run),
        }
    }
}

/// Describe a deployment
#[utoipa::path(
    get, path = "/v1/deployments/{deployment}", tag = "deployments", params(DeploymentPath),
    responses((status = 200, description = "spec, state, position and last error of every task", body = DeploymentView), Missing),
)]
pub(super) async fn describe(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<Response, Problem> {
    Ok(shown(app.pipelines.describe(&path.deployment)?, StatusCode::OK))
}

/// Pause a deployment
#[utoipa::path(
    post, path = "/v1/deployments/{deployment}/pause", tag = "deployments", params(DeploymentPath),
    responses((status = 202, description = "it stands still after its current batch", body = DeploymentView), Missing, Conflict),
)]
pub(super) async fn pause(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<Response, Problem> {
    Ok(shown(app.pipelines.pause(&path.deployment).await?, StatusCode::ACCEPTED))
}

/// Resume a deployment
#[utoipa::path(
    post, path = "/v1/deployments/{deployment}/resume", tag = "deployments", params(DeploymentPath),
    responses((status = 202, description = "it goes on where it stood", body = DeploymentView), Missing, Conflict),
)]
pub(super) async fn resume(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<Response, Problem> {
    Ok(shown(app.pipelines.resume(&path.deployment).await?, StatusCode::ACCEPTED))
}

/// Restart a deployment
///
/// Its tasks go on at their positions with fresh instances; failed ones try their record again.
#[utoipa::path(
    post, path = "/v1/deployments/{deployment}/restart", tag = "deployments", params(DeploymentPath, RestartQuery),
    responses((status = 202, description = "its tasks start again", body = DeploymentView), Missing, Conflict),
)]
pub(super) async fn restart(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(query): Query<RestartQuery>,
) -> Result<Response, Problem> {
    Ok(shown(app.pipelines.restart(&path.deployment, query.only_failed).await?, StatusCode::ACCEPTED))
}

/// Rewind a deployment
///
/// Moves its positions; a dry run tells how many records would be read again. Of a source, forgets or sets its cursor.
#[utoipa::path(
    post, path = "/v1/deployments/{deployment}/rewind", tag = "deployments", params(DeploymentPath, ChangeQuery),
    request_body = Rewind,
    responses((status = 200, description = "where each partition went, or would go", body = RewindPlan), Missing, Conflict, Unprocessable),
)]
pub(super) async fn rewind(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(query): Query<ChangeQuery>,
    Json(body): Json<Rewind>,
) -> Result<axum::Json<RewindPlan>, Problem> {
    let plan = app.pipelines.rewind(&path.deployment, body.to, body.state, query.dry_run).await?;
    Ok(axum::Json(plan))
}

/// Delete a deployment
#[utoipa::path(
    delete, path = "/v1/deployments/{deployment}", tag = "deployments",
    params(DeploymentPath, DeleteQuery, DeleteHeader),
    responses((status = 204, description = "deleted"), Missing, Conflict, Precondition),
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(path): Path<DeploymentPath>,
    Query(query): Query<DeleteQuery>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let fate = query.state.unwrap_or(StateFate::Clear);
    let revision = conditions(&headers)?.of_present()?.revision;
    app.pipelines.delete(&path.deployment, fate, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse_name(name: &str) -> Result<DeploymentName, Problem> {
    DeploymentName::parse(name).map_err(|e| Problem::new(Code::InvalidPath, e.to_string()))
}

fn options(conditions: Conditions, dry_run: bool) -> ApplyOptions {
    ApplyOptions { if_revision: conditions.revision, if_absent: conditions.absent, dry_run }
}

pub(super) fn answer(applied: Applied, dry_run: bool) -> Result<Response, Problem> {
    let Applied { view, created, changed, diff } = applied;
    if dry_run {
        return Ok(axum::Json(DryRun { created, changed, changes: diff }).into_response());
    }
    let view = view.ok_or_else(|| Problem::new(Code::Internal, "applied, but not to be seen"))?;
    let location = created.then(|| format!("/v1/deployments/{}", view.name));
    let mut response = shown(view, if created { StatusCode::CREATED } else { StatusCode::OK });
    if let Some(location) = location {
        insert(&mut response, header::LOCATION, location);
    }
    Ok(response)
}

fn shown(view: DeploymentView, status: StatusCode) -> Response {
    let mut response = with_etag(view.revision, axum::Json(view));
    *response.status_mut() = status;
    response
}

/// RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(&name);
            } else {
                merge(target.entry(name).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The examples of RFC 7396, appendix A, that have objects on top.
    #[test]
    fn merge_patch_follows_the_rfc() {
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (mut target, patch, expected) in cases {
            merge(&mut target, patch);
            assert_eq!(target, expected);
        }
    }
}
