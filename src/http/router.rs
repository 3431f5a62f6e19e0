//! All routes on one screen. Those of the API go through `routes!`, which puts them into the OpenAPI document too.

use axum::Router;
use axum::http::{Method, Uri, header};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::codes::Code;
use super::error::Problem;
use super::extract::{NoQuery, Query};
use super::route_name::NameRoute;
use super::{
    App, cluster, consume, control_events, deployments, groups, health, home, lifecycle, logs, modules,
    openapi, produce, runs, shadows, state, topics,
};

/// The routes and what answers when none fits.
pub(super) fn router(app: App) -> Router {
    let (router, document) = OpenApiRouter::<App>::with_openapi(openapi::head())
        // topics
        .routes(routes!(topics::list, topics::create))
        .routes(routes!(topics::describe, topics::ensure, topics::change, topics::delete))
        .routes(routes!(topics::config))
        .routes(routes!(topics::truncate))
        // records: produce and read
        .routes(routes!(consume::topic_records, produce::records))
        .routes(routes!(consume::partition_records, produce::partition_records))
        .routes(routes!(produce::events))
        .routes(routes!(produce::new_producer))
        // groups
        .routes(routes!(groups::list))
        .routes(routes!(groups::describe, groups::delete))
        .routes(routes!(groups::reset))
        .routes(routes!(groups::remove_member))
        .routes(routes!(groups::pull))
        .routes(routes!(groups::commit))
        .routes(routes!(groups::stream))
        // modules
        .routes(routes!(modules::list))
        .routes(routes!(modules::validate))
        .routes(routes!(modules::describe, modules::upload, modules::delete))
        .routes(routes!(modules::inspect, modules::delete_version))
        .routes(routes!(modules::wit))
        .routes(routes!(modules::wasm))
        .routes(routes!(modules::job))
        .routes(routes!(runs::run_module))
        // deployments
        .routes(routes!(deployments::list))
        .routes(routes!(deployments::describe, deployments::apply, deployments::patch, deployments::delete))
        .routes(routes!(deployments::pause))
        .routes(routes!(deployments::resume))
        .routes(routes!(deployments::restart))
        .routes(routes!(deployments::rewind))
        .routes(routes!(lifecycle::upgrade))
        .routes(routes!(lifecycle::rollback))
        .routes(routes!(lifecycle::revisions))
        .routes(routes!(lifecycle::revision))
        .routes(routes!(runs::run_deployment))
        .routes(routes!(shadows::describe, shadows::start, shadows::stop))
        .routes(routes!(logs::logs))
        // state
        .routes(routes!(state::stores))
        .routes(routes!(state::key))
        .routes(routes!(state::binary_key))
        .routes(routes!(state::many))
        .routes(routes!(state::entries))
        .routes(routes!(state::query::query))
        // operations
        .routes(routes!(control_events::events))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::version))
        .routes(routes!(cluster::cluster))
        .routes(routes!(cluster::config))
        .routes(routes!(health::metrics))
        .split_for_parts();

    let document: bytes::Bytes = openapi::complete(document).into();
    let show = move |Query(NoQuery {}): Query<NoQuery>| async move {
        Ok::<_, Problem>(([(header::CONTENT_TYPE, "application/json")], document))
    };
    router
        .route("/", get(home::home))
        .route("/problems/{code}", get(home::problem))
        .route("/openapi.json", get(show))
        .method_not_allowed_fallback(wrong_method)
        .route_layer(NameRoute)
        .fallback(not_found)
        .with_state(app)
}

async fn not_found(method: Method, uri: Uri) -> Problem {
    Problem::new(Code::RouteNotFound, format!("there is nothing at {method} {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("{} does not take {method}", uri.path()))
}
