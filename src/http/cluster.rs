//! What this server is to those who connect to it, and what it was told: identity, listeners, settings with where each
//! comes from.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::error::Problem;
use super::extract::{NoQuery, Query};
use crate::runtime::build;

/// Where the doors are.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ListenersView {
    /// address and port of this interface
    pub http: String,
    /// address and port of the Kafka protocol, unless it is off
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<String>,
    /// what Kafka clients are told to connect to
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_advertised: Option<String>,
}

/// A setting and where it comes from.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SettingView {
    /// as in the config file, with dots
    pub name: &'static str,
    /// as it was given; absent where the default holds
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// in words where it depends on the machine
    pub default: &'static str,
    /// the file's path, `the environment`, `the command line` or `the default`
    pub origin: String,
    /// what it does
    pub description: &'static str,
}

/// What the handlers of this file tell.
#[derive(Debug)]
pub struct Identity {
    /// of the one node there is
    pub node_id: i32,
    /// where the doors are
    pub listeners: ListenersView,
    /// every setting, in alphabetical order
    pub settings: Vec<SettingView>,
}

/// The server as a cluster of one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClusterView {
    /// made with the data folder, and the same ever after
    cluster_id: String,
    /// of this server
    node_id: i32,
    version: &'static str,
    listeners: ListenersView,
    topics: usize,
    deployments: usize,
}

/// Every setting.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConfigView {
    settings: Vec<SettingView>,
}

/// Who is this?
#[utoipa::path(
    get, path = "/v1/cluster", tag = "operations",
    responses((status = 200, description = "identity and listeners", body = ClusterView)),
)]
pub(super) async fn cluster(
    State(app): State<App>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<axum::Json<ClusterView>, Problem> {
    Ok(axum::Json(ClusterView {
        cluster_id: app.storage.cluster_id().to_owned(),
        node_id: app.identity.node_id,
        version: build::VERSION,
        listeners: app.identity.listeners.clone(),
        topics: app.broker.topics().len(),
        deployments: app.pipelines.list().len(),
    }))
}

/// How is it set?
///
/// Each setting with where its value comes from. None of them is a secret.
#[utoipa::path(
    get, path = "/v1/config", tag = "operations",
    responses((status = 200, description = "settings in alphabetical order", body = ConfigView)),
)]
pub(super) async fn config(
    State(app): State<App>,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<axum::Json<ConfigView>, Problem> {
    Ok(axum::Json(ConfigView { settings: app.identity.settings.clone() }))
}
