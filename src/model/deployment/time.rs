//! `time` of a spec: how a processor's event time moves, and what becomes of records that come after it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DeploymentKind, DeploymentSpec};
use crate::model::duration;
use crate::model::limits::{TIME_AHEAD_DEFAULT, TIME_IDLE_DEFAULT, TIME_MAX};

/// What becomes of a record that is later than allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatePolicy {
    /// the code is handed it as any other
    #[default]
    Update,
    /// it is passed over and counted
    Drop,
    /// it goes to the route of this name as it is
    Output(String),
}

/// `time` of a spec. The watermark of a task is the least of those of its inputs: the greatest timestamp read, less
/// `out_of_order`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeSpec {
    /// how far behind the newest record of its input a record may lie without being late
    #[serde(with = "duration::text")]
    pub out_of_order: Duration,
    /// an input without records for so long does not hold the watermark back; 0: it does for ever
    #[serde(with = "duration::text")]
    pub idle: Duration,
    /// a record further ahead of the server's clock does not move the watermark
    #[serde(with = "duration::text")]
    pub ahead: Duration,
    /// how far behind the watermark a record may lie before `late` applies
    #[serde(with = "duration::text")]
    pub lateness: Duration,
    /// what becomes of those beyond
    pub late: LatePolicy,
}

impl Default for TimeSpec {
    fn default() -> Self {
        Self {
            out_of_order: Duration::ZERO,
            idle: TIME_IDLE_DEFAULT,
            ahead: TIME_AHEAD_DEFAULT,
            lateness: Duration::ZERO,
            late: LatePolicy::Update,
        }
    }
}

impl DeploymentSpec {
    pub(super) fn check_time(&self, say: &mut impl FnMut(&str, String)) {
        let Some(time) = &self.time else { return };
        if self.kind != DeploymentKind::Processor {
            say("/time", format!("a deployment of kind {} has no event time", self.kind.as_str()));
        }
        let members = [
            ("out_of_order", time.out_of_order),
            ("idle", time.idle),
            ("ahead", time.ahead),
            ("lateness", time.lateness),
        ];
        for (member, found) in members {
            if found > TIME_MAX {
                let [found, most] = [found, TIME_MAX].map(duration::format_duration);
                say(&format!("/time/{member}"), format!("{found}, expected at most {most}"));
            }
        }
        if let LatePolicy::Output(route) = &time.late
            && !self.output.routes.contains_key(route)
        {
            say("/time/late", format!("`{route}` is none of the routes of `output.routes`"));
        }
    }
}
