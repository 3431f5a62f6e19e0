//! Modules: upload, validate, list, inspect, WIT, download, delete, and the jobs of uploads that answer at once.

mod shapes;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

pub(super) use self::shapes::VersionPath;
use self::shapes::{
    JobPath, JobProblem, JobStateView, JobView, ListQuery, ModuleDetail, ModulePath, ModuleSummary,
    ModuleView, UploadHeaders, UploadQuery, ValidationReport,
};
use super::App;
use super::answer::{insert, rfc3339};
use super::body::{Media, Whole, media_of, read_whole, unsupported_media};
use super::codes::Code;
use super::error::Problem;
use super::extract::{NoQuery, Path, Query, header_text};
use super::openapi::{Conflict, Missing, Unprocessable};
use super::page::{self, Page};
use crate::model::ModuleName;
use crate::model::limits::MODULE_BYTES_MAX;
use crate::model::module::{Digest, ModuleRef, ModuleVersion, Version, VersionSelector};
use crate::registry::{Job, JobId, JobState, Report, Uploaded};
use crate::runtime::tasks;
use crate::wasm::Inspected;

static CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
static PREFER: HeaderName = HeaderName::from_static("prefer");

/// Upload a module
///
/// The body is a WebAssembly component, or a core module with an embedded WIT section. It is checked, compiled and
/// stored; versions are immutable.
#[utoipa::path(
    put, path = "/v1/modules/{name}", tag = "modules", params(ModulePath, UploadQuery, UploadHeaders),
    request_body(content((Vec<u8> = "application/wasm"), (Vec<u8> = "application/octet-stream"))),
    responses(
        (status = 200, description = "these bytes were there already", body = ModuleView),
        (status = 201, description = "a new version", body = ModuleView),
        (status = 202, description = "being compiled; see the job", body = JobView), Conflict, Unprocessable,
    ),
)]
pub(super) async fn upload(
    State(app): State<App>,
    Path(path): Path<ModulePath>,
    Query(query): Query<UploadQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let version = query.version.as_deref().map(parse_version).transpose()?;
    let (headers, Whole { bytes, share }) = wasm_body(&app, request).await?;
    check_digest(&headers, &bytes).await?;

    if header_text(&headers, &PREFER)?
        .is_some_and(|p| p.split([',', ';']).any(|w| w.trim() == "respond-async"))
    {
        // The job holds the bytes, and with them their share of the budget.
        let id = app.registry.start_upload(path.name, version, bytes, share)?;
        let job = app
            .registry
            .job(id)
            .map(|job| job_view(&app, id, &job))
            .ok_or_else(|| missing_job(&id.to_string()))?;
        let mut response = (StatusCode::ACCEPTED, axum::Json(job)).into_response();
        insert(&mut response, header::LOCATION, format!("/v1/jobs/{id}"));
        response.headers_mut().insert("preference-applied", HeaderValue::from_static("respond-async"));
        return Ok(response);
    }
    let Uploaded { version, created } = app.registry.upload(&path.name, version, bytes).await?;
    drop(share);
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, axum::Json(view(&app, &version))).into_response();
    insert(
        &mut response,
        header::LOCATION,
        format!("/v1/modules/{}/versions/{}", version.name, version.version),
    );
    Ok(response)
}

/// Check a module without storing it
#[utoipa::path(
    post, path = "/v1/modules/{name}/validate", tag = "modules", params(ModulePath),
    request_body(content((Vec<u8> = "application/wasm"), (Vec<u8> = "application/octet-stream"))),
    responses((status = 200, description = "it could be uploaded", body = ValidationReport), Unprocessable),
)]
pub(super) async fn validate(
    State(app): State<App>,
    Path(path): Path<ModulePath>,
    Query(NoQuery {}): Query<NoQuery>,
    request: Request,
) -> Result<axum::Json<ValidationReport>, Problem> {
    // The name has been checked by being read; nothing else hangs on it.
    drop(path);
    let (_, Whole { bytes, share }) = wasm_body(&app, request).await?;
    let Report { digest, size, inspected } = app.registry.validate(bytes).await?;
    drop(share);
    let Inspected { kind, imports, exports, producers, params, .. } = inspected;
    let (digest, kind) = (digest.to_string(), kind.export().to_owned());
    Ok(axum::Json(ValidationReport { valid: true, digest, kind, size, imports, exports, producers, params }))
}

/// List modules
#[utoipa::path(
    get, path = "/v1/modules", tag = "modules", params(ListQuery),
    responses((status = 200, description = "modules in name order", body = Page<ModuleSummary>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<ModuleSummary>>, Problem> {
    let mut modules: Vec<Vec<Arc<ModuleVersion>>> = Vec::new();
    let mut versions = app.registry.list();
    versions.sort_by(|a, b| (&a.name, &b.version).cmp(&(&b.name, &a.version)));
    for version in versions.into_iter().filter(|v| v.name.as_str().starts_with(&query.prefix)) {
        match modules.last_mut().filter(|m| m.first().is_some_and(|v| v.name == version.name)) {
            Some(module) => module.push(version),
            None => modules.push(vec![version]),
        }
    }
    let name =
        |m: &Vec<Arc<ModuleVersion>>| -> String { m.first().map(|v| v.name.to_string()).unwrap_or_default() };
    let named: Vec<_> = modules.into_iter().map(|m| (name(&m), m)).collect();
    let token = query.page_token.as_deref();
    let shown = page::page(
        named,
        query.limit,
        token,
        |(name, _)| name,
        |(name, versions)| summary(&app, name, &versions),
    )?;
    let items = shown.items.into_iter().flatten().collect();
    Ok(axum::Json(Page { items, next_page_token: shown.next_page_token }))
}

/// Describe a module
#[utoipa::path(
    get, path = "/v1/modules/{name}", tag = "modules", params(ModulePath),
    responses((status = 200, description = "its versions", body = ModuleDetail), Missing),
)]
pub(super) async fn describe(
    State(app): State<App>,
    Path(path): Path<ModulePath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<axum::Json<ModuleDetail>, Problem> {
    // Refuses unknown names with the nearest one.
    find(&app, &path.name, "latest")?;
    let mut versions = app.registry.list();
    versions.retain(|v| v.name == path.name);
    versions.sort_by(|a, b| b.version.cmp(&a.version));
    let versions = versions.iter().map(|v| view(&app, v)).collect();
    Ok(axum::Json(ModuleDetail { name: path.name.to_string(), versions }))
}

/// Inspect a version
#[utoipa::path(
    get, path = "/v1/modules/{name}/versions/{version}", tag = "modules", params(VersionPath),
    responses((status = 200, description = "the version", body = ModuleView), Missing),
)]
pub(super) async fn inspect(
    State(app): State<App>,
    Path(path): Path<VersionPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<axum::Json<ModuleView>, Problem> {
    let version = find(&app, &path.name, &path.version)?;
    Ok(axum::Json(view(&app, &version)))
}

/// Show a version's WIT
#[utoipa::path(
    get, path = "/v1/modules/{name}/versions/{version}/wit", tag = "modules", params(VersionPath),
    responses((status = 200, description = "WIT text", body = String, content_type = "text/plain"), Missing),
)]
pub(super) async fn wit(
    State(app): State<App>,
    Path(path): Path<VersionPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<String, Problem> {
    let version = find(&app, &path.name, &path.version)?;
    // The text is made from the whole module, each time.
    let _share = app.budget.take(usize::try_from(version.size).unwrap_or(usize::MAX))?;
    Ok(app.registry.wit(version.digest).await?)
}

/// Download a version
#[utoipa::path(
    get, path = "/v1/modules/{name}/versions/{version}/wasm", tag = "modules", params(VersionPath),
    responses((status = 200, description = "the bytes as uploaded", body = Vec<u8>, content_type = "application/wasm"), Missing),
)]
pub(super) async fn wasm(
    State(app): State<App>,
    Path(path): Path<VersionPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<Response, Problem> {
    let version = find(&app, &path.name, &path.version)?;
    let share = app.budget.take(usize::try_from(version.size).unwrap_or(usize::MAX))?;
    let bytes = app.registry.bytes(version.digest).await?;
    let mut response = Response::new(Body::new(super::body::Held::new(bytes, share)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/wasm"));
    insert(&mut response, CONTENT_DIGEST.clone(), format!("sha-256=:{}:", STANDARD.encode(version.digest.0)));
    Ok(response)
}

/// Delete a module with all its versions
#[utoipa::path(
    delete, path = "/v1/modules/{name}", tag = "modules", params(ModulePath),
    responses((status = 204, description = "deleted"), Missing, Conflict),
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(path): Path<ModulePath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<StatusCode, Problem> {
    find(&app, &path.name, "latest")?;
    delete_unused(app, path.name, None).await
}

/// Delete a version
#[utoipa::path(
    delete, path = "/v1/modules/{name}/versions/{version}", tag = "modules", params(VersionPath),
    responses((status = 204, description = "deleted"), Missing, Conflict),
)]
pub(super) async fn delete_version(
    State(app): State<App>,
    Path(path): Path<VersionPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<StatusCode, Problem> {
    let version = find(&app, &path.name, &path.version)?;
    delete_unused(app, path.name, Some(version.version.clone())).await
}

/// Deletes versions that no deployment runs. None may begin to between the question and the delete.
async fn delete_unused(app: App, name: ModuleName, version: Option<Version>) -> Result<StatusCode, Problem> {
    let pipelines = app.pipelines.clone();
    let work = async move {
        let mut versions = app.registry.list();
        versions.retain(|v| v.name == name && version.as_ref().is_none_or(|asked| v.version == *asked));
        refuse_used(&app, &versions)?;
        app.registry.delete(&name, version).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    pipelines.while_unchanged(work).await?
}

/// Look at a job
#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "modules", params(JobPath),
    responses((status = 200, description = "how far it is", body = JobView), Missing),
)]
pub(super) async fn job(
    State(app): State<App>,
    Path(path): Path<JobPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<axum::Json<JobView>, Problem> {
    let id = path.id.parse().map(JobId).map_err(|_| missing_job(&path.id))?;
    let job = app.registry.job(id).ok_or_else(|| missing_job(&path.id))?;
    Ok(axum::Json(job_view(&app, id, &job)))
}

fn missing_job(id: &str) -> Problem {
    Problem::new(Code::JobNotFound, format!("there is no job `{id}`"))
}

async fn wasm_body(app: &App, request: Request) -> Result<(HeaderMap, Whole), Problem> {
    let (parts, body) = request.into_parts();
    // curl -T says nothing about the type; what is not Wasm is found when it is read.
    if !matches!(media_of(&parts.headers), Media::Wasm | Media::Bytes | Media::Missing) {
        return Err(unsupported_media(&parts.headers, "application/wasm or application/octet-stream"));
    }
    let whole = read_whole(body, MODULE_BYTES_MAX, &app.budget).await?;
    Ok((parts.headers, whole))
}

/// Compares the body with the sha-256 of `Content-Digest`; other algorithms are passed over, as RFC 9530 allows.
async fn check_digest(headers: &HeaderMap, bytes: &Bytes) -> Result<(), Problem> {
    let Some(text) = header_text(headers, &CONTENT_DIGEST)? else { return Ok(()) };
    let wrong = || {
        Problem::new(Code::InvalidHeader, format!("Content-Digest is `{text}`, expected sha-256=:<base64>:"))
    };
    let mut asked = None;
    for entry in text.split(',') {
        let (name, value) = entry.trim().split_once('=').ok_or_else(wrong)?;
        let value = value.strip_prefix(':').and_then(|v| v.strip_suffix(':')).ok_or_else(wrong)?;
        if name == "sha-256" {
            asked = Some(STANDARD.decode(value).map_err(|_| wrong())?);
        }
    }
    let Some(asked) = asked else { return Ok(()) };
    // A third of a second for 64 MiB, so not on a network thread.
    let bytes = bytes.clone();
    let found = tasks::spawn_blocking("digest-body", move || Digest::of(&bytes)).await;
    let found = found.map_err(|_| Problem::new(Code::Draining, "the server is stopping"))?;
    if asked == found.0 {
        return Ok(());
    }
    let detail = format!("the body's digest is {found}, Content-Digest names another");
    Err(Problem::new(Code::DigestMismatch, detail))
}

fn parse_version(text: &str) -> Result<Version, Problem> {
    Version::parse(text).ok_or_else(|| {
        Problem::new(
            Code::InvalidQuery,
            format!("query parameter `version` is `{text}`: expected a version such as 1.2.0"),
        )
    })
}

fn find(app: &App, name: &ModuleName, version: &str) -> Result<Arc<ModuleVersion>, Problem> {
    let version = VersionSelector::parse(version).map_err(|e| Problem::new(Code::InvalidPath, e))?;
    Ok(app.registry.resolve(&ModuleRef { name: name.clone(), version })?)
}

fn refuse_used(app: &App, versions: &[Arc<ModuleVersion>]) -> Result<(), Problem> {
    let mut users: Vec<String> = versions.iter().flat_map(|v| users_of(app, v)).collect();
    users.sort();
    users.dedup();
    if users.is_empty() {
        return Ok(());
    }
    let detail = format!("the module is used by {}", users.join(", "));
    Err(Problem::new(Code::ModuleInUse, detail).with("deployments", users))
}

fn users_of(app: &App, version: &ModuleVersion) -> Vec<String> {
    app.pipelines.users_of(version.digest).iter().map(ToString::to_string).collect()
}

fn view(app: &App, version: &ModuleVersion) -> ModuleView {
    ModuleView {
        name: version.name.to_string(),
        version: version.version.to_string(),
        digest: version.digest.to_string(),
        kind: version.kind.export().to_owned(),
        size: version.size,
        imports: version.imports.clone(),
        exports: version.exports.clone(),
        producers: version.producers.clone(),
        params: version.params.clone(),
        compile_ms: version.compile_ms,
        compiled_size: version.compiled_size,
        used_by: users_of(app, version),
        created_at: rfc3339(version.created_ms),
    }
}

fn summary(app: &App, name: String, versions: &[Arc<ModuleVersion>]) -> Option<ModuleSummary> {
    let latest = view(app, versions.first()?);
    let mut used_by: Vec<_> = versions.iter().flat_map(|v| users_of(app, v)).collect();
    used_by.sort();
    used_by.dedup();
    Some(ModuleSummary {
        name,
        latest,
        versions: versions.iter().map(|v| v.version.to_string()).collect(),
        used_by,
    })
}

fn job_view(app: &App, id: JobId, job: &Job) -> JobView {
    let (state, module, problem) = match &job.state {
        JobState::Running => (JobStateView::Running, None, None),
        JobState::Done { uploaded, .. } => {
            (JobStateView::Succeeded, Some(view(app, &uploaded.version)), None)
        }
        JobState::Failed { error, .. } => {
            let problem = Problem::from(&**error);
            let entry = problem.code().entry();
            let detail = problem.detail().to_owned();
            (
                JobStateView::Failed,
                None,
                Some(JobProblem { code: entry.name, status: entry.status.as_u16(), detail }),
            )
        }
    };
    JobView { id: id.to_string(), state, module, problem }
}
