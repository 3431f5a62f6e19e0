//! What goes in and out of the modules' operations.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::model::ModuleName;
use crate::model::params::Params;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct ModulePath {
    /// the module
    #[param(value_type = String)]
    pub(super) name: ModuleName,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct VersionPath {
    /// the module
    #[param(value_type = String)]
    pub(in crate::http) name: ModuleName,
    /// `latest`, `1.2.3`, or `sha256:` with 8 or more digits
    pub(in crate::http) version: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct JobPath {
    /// from the answer of the upload
    pub(super) id: String,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct UploadQuery {
    /// such as `1.2.0`; default: the next patch version
    pub(super) version: Option<String>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListQuery {
    /// only names that begin so
    pub(super) prefix: String,
    /// at most so many; default 1000
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<usize>,
    /// from the page before
    pub(super) page_token: Option<String>,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes headers for the OpenAPI document")]
pub(in crate::http) struct UploadHeaders {
    /// `sha-256=:…:`; the upload is refused if the body has another digest (RFC 9530)
    #[param(rename = "Content-Digest")]
    pub(super) content_digest: Option<String>,
    /// `respond-async`: answer 202 with a job at once
    #[param(rename = "Prefer")]
    pub(super) prefer: Option<String>,
}

/// A version of a module.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ModuleView {
    pub(super) name: String,
    pub(super) version: String,
    /// SHA-256 of the bytes as uploaded
    pub(super) digest: String,
    /// what its exports make of it
    #[schema(schema_with = crate::http::openapi::module_kind_schema)]
    pub(super) kind: String,
    /// bytes as uploaded
    pub(super) size: u64,
    /// interfaces it imports
    pub(super) imports: Vec<String>,
    /// interfaces it exports
    pub(super) exports: Vec<String>,
    /// tools that made it
    pub(super) producers: Vec<String>,
    /// parameters that it declares, by name; missing: it declares nothing, and takes what it is given
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = crate::http::openapi::declared_params_schema)]
    pub(super) params: Option<Params>,
    /// CPU milliseconds of its compilation
    pub(super) compile_ms: u64,
    /// bytes of the compiled code
    pub(super) compiled_size: u64,
    /// deployments that run it
    pub(super) used_by: Vec<String>,
    /// RFC 3339
    pub(super) created_at: String,
}

/// A module with its newest version.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ModuleSummary {
    pub(super) name: String,
    pub(super) latest: ModuleView,
    /// all versions, newest first
    pub(super) versions: Vec<String>,
    /// deployments that run any of them
    pub(super) used_by: Vec<String>,
}

/// A module with its versions.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ModuleDetail {
    pub(super) name: String,
    /// newest first
    pub(super) versions: Vec<ModuleView>,
}

/// What an upload is, without storing it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ValidationReport {
    /// always true; what is not valid is a problem document
    pub(super) valid: bool,
    pub(super) digest: String,
    #[schema(schema_with = crate::http::openapi::module_kind_schema)]
    pub(super) kind: String,
    pub(super) size: u64,
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
    pub(super) producers: Vec<String>,
    /// parameters that it declares
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = crate::http::openapi::declared_params_schema)]
    pub(super) params: Option<Params>,
}

/// An upload that is being compiled.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct JobView {
    pub(super) id: String,
    pub(super) state: JobStateView,
    /// once it has succeeded
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) module: Option<ModuleView>,
    /// once it has failed
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<JobProblem>,
}

/// How far a job is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum JobStateView {
    Running,
    Succeeded,
    Failed,
}

/// Why a job failed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct JobProblem {
    pub(super) code: &'static str,
    pub(super) status: u16,
    pub(super) detail: String,
}
