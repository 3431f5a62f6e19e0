//! `apply=module@version`: a transform on the way to one reader, with its parameters as `param.NAME`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Topic;
use crate::broker::view::{OnTrouble, ViewOf};
use crate::http::App;
use crate::http::codes::Code;
use crate::http::error::Problem;
use crate::model::module::ModuleRef;
use crate::wasm::{LogLevel, LogSink};

/// What the names of the parameters begin with that the code reads.
pub(in crate::http) const PARAM_PREFIX: &str = "param.";
/// Parameters of one read.
const PARAMS_MAX: usize = 64;

/// A parameter of the transform.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes parameters for the OpenAPI document; `App::topic_through` reads them"
)]
pub(in crate::http) struct ParamQuery {
    /// with `apply`: a parameter that its code reads, as in `param.fields=email`; may be given for several names
    #[param(rename = "param.NAME")]
    param: Option<String>,
}

/// What becomes of a record that the code fails on or refuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum OnError {
    /// the read stops there and says why
    #[default]
    Stop,
    /// the record is left out and counted
    Skip,
}

/// Nobody keeps the lines of a transform that one reader asks for.
struct Unheard;

impl LogSink for Unheard {
    fn write(&self, level: LogLevel, text: String) {
        tracing::debug!(level = level.as_str(), text, "a transform named in a read");
    }
}

impl App {
    /// The topic as the query wants to see it; `named` are parameters with names of the client's.
    ///
    /// # Errors
    /// `TopicNotFound`, `InvalidQuery`, `ModuleNotFound`, `ModuleKind`, and those of code that cannot be loaded.
    pub(super) async fn topic_through(
        &self,
        name: &str,
        apply: Option<&str>,
        on_error: Option<OnError>,
        named: &[(String, String)],
    ) -> Result<Topic, Problem> {
        let topic = self.readable(name)?;
        let invalid = |detail: String| Problem::new(Code::InvalidQuery, detail);
        let params = named.iter().filter_map(|(name, value)| Some((name.strip_prefix(PARAM_PREFIX)?, value)));
        let mut own = BTreeMap::new();
        for (name, value) in params {
            if own.insert(name.to_owned(), value.clone()).is_some() {
                return Err(invalid(format!("query parameter `param.{name}` stands twice")));
            }
        }
        let Some(apply) = apply else {
            return match own.keys().next() {
                Some(name) => {
                    Err(invalid(format!("query parameter `param.{name}` is for the code that `apply` names")))
                }
                None if on_error.is_some() => {
                    Err(invalid("query parameter `on_error` is for the code that `apply` names".to_owned()))
                }
                None => Ok(topic),
            };
        };
        if own.len() > PARAMS_MAX {
            return Err(invalid(format!("more than {PARAMS_MAX} query parameters `param.…`")));
        }
        if topic.view().is_some() {
            return Err(invalid(format!(
                "`{}` is a view: apply the transform to its source, or deploy one that does both",
                topic.name()
            )));
        }
        let reference = ModuleRef::parse(apply)
            .map_err(|detail| invalid(format!("query parameter `apply` is `{apply}`: {detail}")))?;
        let module = self.registry.resolve(&reference)?;
        let called = format!("{}@{}", module.name, module.version);
        if !module.kind.is_transform() {
            let detail = format!(
                "module `{called}` exports `{}`; `apply` needs `transform` or `transform-packed`",
                module.kind.export()
            );
            return Err(Problem::new(Code::ModuleKind, detail));
        }
        if let Some(problem) =
            module.params.as_ref().and_then(|params| params.problems(&own).into_iter().next())
        {
            let name = problem.pointer.trim_start_matches("/params/");
            return Err(invalid(format!("query parameter `param.{name}`: {}", problem.detail)));
        }
        let component = self.registry.component(module.digest).await?;
        let of = ViewOf {
            called: format!("`{called}`"),
            module: called,
            source: topic.name().clone(),
            params: own,
            limits: self.pipelines.ceiling().defaults(),
            on_trouble: match on_error.unwrap_or_default() {
                OnError::Stop => OnTrouble::Stop,
                OnError::Skip => OnTrouble::Skip,
            },
        };
        Ok(topic.through(self.broker.passing_view(of, component, Arc::new(Unheard))))
    }
}
