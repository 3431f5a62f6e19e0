//! Floor 6: deployments that run. Inline ones become stages of their topic's chain; processors and sinks become
//! tasks, one per partition of their inputs, that commit position, state, outputs and dead letters in one storage commit;
//! sources become one task that commits records and cursor.

mod apply;
pub mod cut;
pub mod dry_run;
pub mod error;
mod expiry;
mod failing;
mod flight;
mod instance;
mod internal;
mod lifecycle;
mod logs;
mod metrics;
mod migration;
mod output;
mod plan;
mod queries;
mod reads;
mod ready;
mod replace;
mod revisions;
mod rewind;
mod run;
mod running;
mod shadow;
mod shown;
mod source;
mod status;
mod step;
mod supervisor;
mod task;
mod time;
mod trial;
mod upgrade;
mod view;
mod views;
mod watch;

pub use apply::{Applied, ApplyOptions};
pub use error::{Clash, DeployError, QueryError, RunError, StateError};
pub use logs::logs_topic;
pub use plan::Change;
pub use queries::{Answered, Query};
pub use reads::{ScanEntry, ScanPage, StateAt, StateRead, StateScan, StoreView};
pub use revisions::RevisionView;
pub use rewind::{CursorMove, RewindPartition, RewindPlan};
pub use run::{GivenRecord, RunRecords, RunReport, RunState};
pub use shadow::{Difference, Made, Results, ShadowOptions, ShadowView, Told, Used};
pub use supervisor::{Options, Pipelines};
pub use upgrade::{Rollback, Upgrade};
pub use view::{
    DeploymentState, DeploymentView, InputPosition, InputTimeView, SourceView, TaskView, TimeView, TimerView,
    Totals,
};
pub use watch::KeyWatch;
