//! Topics: list, create, ensure, describe, change, delete, and their settings.

mod shapes;
mod truncate;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use self::shapes::{
    ChangeQuery, ChangeTopic, ConfigEntry, ConfigList, ConfigText, CreateTopic, DeleteHeader, DeleteQuery,
    EnsureTopic, IfMatchHeader, IfNoneMatchHeader, ListQuery, PartitionDetail, TopicDetail, TopicPath,
    TopicSummary, ViewOfTopic,
};
pub(super) use self::truncate::{__path_truncate, truncate};
use super::App;
use super::answer::{rfc3339, with_etag};
use super::codes::Code;
use super::error::Problem;
use super::extract::{Json, NoQuery, Path, Query, conditions};
use super::openapi::{Conflict, Missing, Precondition, Unprocessable};
use super::page::{self, Page};
use crate::broker::{NewTopic, TopicChange, TopicError, TopicHandle};
use crate::model::topic::{ConfigChange, ConfigError, ConfigKey, KEYS, Topic, TopicConfig};
use crate::model::{Partition, TopicName};

/// List topics
#[utoipa::path(
    get, path = "/v1/topics", tag = "topics", params(ListQuery),
    responses((status = 200, description = "topics in name order", body = Page<TopicSummary>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<TopicSummary>>, Problem> {
    let mut topics = app.broker.readables();
    topics.retain(|t| {
        t.name().as_str().starts_with(&query.prefix) && (query.internal || !t.name().is_internal())
    });
    let token = query.page_token.as_deref();
    let page = page::page(topics, query.limit, token, |t| t.name().as_str(), |t| summary(&app, &t))?;
    Ok(axum::Json(page))
}

/// Create a topic
#[utoipa::path(
    post, path = "/v1/topics", tag = "topics", request_body = CreateTopic,
    responses((status = 201, description = "created", body = TopicDetail), Conflict, Unprocessable),
)]
pub(super) async fn create(
    State(app): State<App>,
    Query(NoQuery {}): Query<NoQuery>,
    Json(body): Json<CreateTopic>,
) -> Result<Response, Problem> {
    let handle = app.broker.create_topic(new_topic(&body.name, body.partitions, &body.config)?).await?;
    let location = format!("/v1/topics/{}", handle.name());
    let mut response = detailed(&app, &handle, StatusCode::CREATED);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Make sure of a topic
///
/// Creates it, or takes it as it is when it is exactly as asked for.
#[utoipa::path(
    put, path = "/v1/topics/{topic}", tag = "topics", params(TopicPath, IfNoneMatchHeader), request_body = EnsureTopic,
    responses(
        (status = 200, description = "it was there, exactly so", body = TopicDetail),
        (status = 201, description = "created", body = TopicDetail), Conflict, Precondition, Unprocessable,
    ),
)]
pub(super) async fn ensure(
    State(app): State<App>,
    Path(path): Path<TopicPath>,
    Query(NoQuery {}): Query<NoQuery>,
    headers: HeaderMap,
    Json(body): Json<EnsureTopic>,
) -> Result<Response, Problem> {
    let conditions = conditions(&headers)?;
    if conditions.present || conditions.revision.is_some() {
        let detail = "a PUT changes no topic that is there, so If-Match has nothing to guard; use PATCH";
        return Err(Problem::new(Code::InvalidHeader, detail));
    }
    let new = new_topic(&path.topic, body.partitions, &body.config)?;
    let (handle, created) = match app.broker.ensure_topic(new).await {
        Err(TopicError::Exists { .. } | TopicError::NameOfView { .. }) | Ok((_, false))
            if conditions.absent =>
        {
            return Err(Problem::new(Code::PreconditionFailed, "If-None-Match is *, and the topic exists"));
        }
        ensured => ensured?,
    };
    Ok(detailed(&app, &handle, if created { StatusCode::CREATED } else { StatusCode::OK }))
}

/// Describe a topic
#[utoipa::path(
    get, path = "/v1/topics/{topic}", tag = "topics", params(TopicPath),
    responses((status = 200, description = "the topic", body = TopicDetail), Missing),
)]
pub(super) async fn describe(
    State(app): State<App>,
    Path(path): Path<TopicPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<Response, Problem> {
    let handle = app.readable(&path.topic)?;
    Ok(detailed(&app, &handle, StatusCode::OK))
}

/// Change a topic
///
/// Its settings, or more partitions.
#[utoipa::path(
    patch, path = "/v1/topics/{topic}", tag = "topics", params(TopicPath, ChangeQuery, IfMatchHeader),
    request_body = ChangeTopic,
    responses((status = 200, description = "as it is now, or would be", body = TopicDetail), Missing, Conflict, Precondition, Unprocessable),
)]
pub(super) async fn change(
    State(app): State<App>,
    Path(path): Path<TopicPath>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    Json(body): Json<ChangeTopic>,
) -> Result<Response, Problem> {
    let change = TopicChange {
        config: body.config.into_iter().map(|(name, value)| (name, config_change(value))).collect(),
        partitions: body.partitions,
        if_revision: conditions(&headers)?.of_present()?.revision,
        dry_run: query.dry_run,
        ..TopicChange::default()
    };
    let writable = app.topic(&path.topic)?;
    if writable.name().is_internal() {
        return Err(Problem::new(
            Code::TopicInternal,
            format!("topic `{}` is the server's own", writable.name()),
        ));
    }
    let topic = app.broker.alter_topic(&path.topic, change).await.map_err(|e| refused(&app, e))?;
    if query.dry_run {
        return Ok(with_etag(topic.revision, axum::Json(detail(&app, &writable, &topic))));
    }
    let handle = app.topic(&path.topic)?;
    Ok(detailed(&app, &handle, StatusCode::OK))
}

/// Delete a topic
#[utoipa::path(
    delete, path = "/v1/topics/{topic}", tag = "topics", params(TopicPath, DeleteQuery, DeleteHeader),
    responses((status = 204, description = "deleted with its records"), Missing, Conflict, Precondition),
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(path): Path<TopicPath>,
    Query(query): Query<DeleteQuery>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let revision = conditions(&headers)?.of_present()?.revision;
    let deleted = app.broker.delete_topic(&path.topic, query.force, revision).await;
    deleted.map_err(|e| refused(&app, e))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Of the deployments that use a topic those have to be told apart of which only the state is left: no list shows them.
fn refused(app: &App, error: TopicError) -> Problem {
    let by = match &error {
        TopicError::InUse { by, .. } | TopicError::StatefulInput { by, .. } => by.as_slice(),
        _ => &[],
    };
    let left: Vec<_> = by.iter().filter(|n| app.pipelines.is_retired(n)).map(|n| format!("`{n}`")).collect();
    let problem = Problem::from(error);
    if left.is_empty() {
        return problem;
    }
    problem.and(&format!(
        "; of {} only the state is left: delete such a deployment once more to drop it",
        left.join(", ")
    ))
}

/// List a topic's settings
#[utoipa::path(
    get, path = "/v1/topics/{topic}/config", tag = "topics", params(TopicPath),
    responses((status = 200, description = "every setting, in name order", body = ConfigList), Missing),
)]
pub(super) async fn config(
    State(app): State<App>,
    Path(path): Path<TopicPath>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<Response, Problem> {
    let handle = app.readable(&path.topic)?;
    let config = &handle.topic.config;
    let entry = |key: &'static ConfigKey| ConfigEntry {
        name: key.name,
        value: config.value(key).to_owned(),
        default: key.default,
        source: source(config, key),
        expected: key.expected,
        doc: key.documentation(),
    };
    let items = KEYS.iter().map(entry).collect();
    Ok(with_etag(handle.topic.revision, axum::Json(ConfigList { items })))
}

fn new_topic(
    name: &str,
    partitions: u32,
    config: &BTreeMap<String, ConfigText>,
) -> Result<NewTopic, Problem> {
    let name = TopicName::parse(name)
        .map_err(|e| Problem::new(Code::InvalidTopic, e.to_string()).at("/name", e.to_string()))?;
    let mut checked = TopicConfig::default();
    let mut errors = Vec::new();
    for (key, value) in config {
        if let Err(error) = checked.set(key, &value.0) {
            errors.push(config_error(&error));
        }
    }
    if let Some(first) = errors.first() {
        return Err(Problem::new(Code::InvalidConfig, first.detail.clone()).errors(errors));
    }
    if let Err(error) = checked.check() {
        return Err(Problem::new(Code::InvalidConfig, error.to_string()).errors(vec![config_error(&error)]));
    }
    Ok(NewTopic::new(name, partitions, checked))
}

fn source(config: &TopicConfig, key: &ConfigKey) -> &'static str {
    if config.overrides().contains_key(key.name) {
        "topic"
    } else if config.value(key) != key.default {
        "broker"
    } else {
        "default"
    }
}

/// A null returns a setting to its default.
fn config_change(value: Option<ConfigText>) -> ConfigChange {
    value.map_or(ConfigChange::Unset, |text| ConfigChange::Set(text.0))
}

/// The place and sentence of a refused setting.
pub(super) fn config_error(error: &ConfigError) -> super::error::FieldError {
    let (ConfigError::Unknown { key, .. } | ConfigError::Value { key, .. } | ConfigError::NoList { key }) =
        error;
    let pointer = format!("/config/{}", key.replace('~', "~0").replace('/', "~1"));
    super::error::FieldError { pointer, detail: error.to_string() }
}

fn summary(app: &App, handle: &TopicHandle) -> TopicSummary {
    let topic = &handle.topic;
    let logs = handle.logs().iter();
    TopicSummary {
        name: topic.name.to_string(),
        id: topic.id.to_string(),
        partitions: topic.partitions,
        records: logs.clone().map(|l| l.tail().saturating_sub(l.start())).sum(),
        bytes: logs.map(|l| l.bytes()).sum(),
        config: topic.config.overrides().clone(),
        deployments: app.broker.attachments(&topic.name).iter().map(ToString::to_string).collect(),
        view: handle.view().map(|view| ViewOfTopic {
            source: view.of().source.to_string(),
            module: view.of().module.clone(),
        }),
        revision: topic.revision,
        created_at: rfc3339(topic.created_ms),
    }
}

/// `topic` may be a dry run's: then its new partitions are shown empty.
fn detail(app: &App, handle: &TopicHandle, topic: &Topic) -> TopicDetail {
    let partition = |partition: Partition| {
        let log = handle.log(partition);
        PartitionDetail {
            partition,
            log_start_offset: log.map_or(0, |l| l.start()),
            high_watermark: log.map_or(0, |l| l.tail()),
            bytes: log.map_or(0, |l| l.bytes()),
        }
    };
    let TopicSummary { name, id, records, bytes, deployments, view, created_at, .. } = summary(app, handle);
    TopicDetail {
        name,
        id,
        partitions: (0..topic.partitions).map(partition).collect(),
        replication_factor: topic.replication_factor,
        records,
        bytes,
        config: topic.config.overrides().clone(),
        deployments,
        view,
        revision: topic.revision,
        created_at,
    }
}

fn detailed(app: &App, handle: &TopicHandle, status: StatusCode) -> Response {
    let body = axum::Json(detail(app, handle, &handle.topic));
    let mut response = with_etag(handle.topic.revision, body);
    *response.status_mut() = status;
    response
}

/// The topic of a running request was deleted, or deleted and created again.
pub(super) fn topic_gone(name: &TopicName) -> Problem {
    Problem::new(Code::TopicNotFound, format!("topic `{name}` was deleted"))
}
