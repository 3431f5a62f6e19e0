//! What shadow runs have compared, looked at before the server is killed: their results are kept nowhere.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::server::Server;

/// Which code runs beside the deployment's own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// the same: no record may differ
    Same,
    /// of which every output is another one
    Other,
}

/// Records that were compared in all runs.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    equal: u64,
    different: u64,
}

/// Begins a shadow run of another version of the deployment's module, or of its own.
pub(crate) async fn begin(server: &Server, name: &str, module: Option<String>) -> Result<()> {
    let body = json!({ "module": module, "duration": "1m" });
    server.post(&format!("/v1/deployments/{name}/shadow"), &body).await
}

impl Compared {
    /// Adds what the run beside a deployment has found so far, if one has begun.
    pub(crate) async fn look(&mut self, server: &Server, name: &str, beside: Beside) -> Result<()> {
        let path = format!("/v1/deployments/{name}/shadow");
        if server.http.get(format!("{}{path}", server.url())).send().await?.status().as_u16() == 404 {
            return Ok(());
        }
        let found = server.get(&path).await?;
        let number = |field: &str| found[field].as_u64().with_context(|| format!("{field} in {found}"));
        let (equal, different) = (number("equal")?, number("different")?);
        let wrong = if beside == Beside::Same { different } else { equal };
        ensure!(wrong == 0, "the shadow of {name} found {wrong} records that it must not find: {found:#}");
        ensure!(found["candidate"]["faults"] == 0, "the shadow of {name} failed: {found:#}");
        self.equal += equal;
        self.different += different;
        Ok(())
    }

    /// A run that has compared nothing has shown nothing. `both`: other code ran beside as well.
    pub(crate) fn said(&self, both: bool) -> Result<String> {
        let Self { equal, different } = self;
        ensure!(*equal > 0, "no shadow run compared a record with what the same code makes of it");
        ensure!(!both || *different > 0, "no shadow run compared a record with what other code makes of it");
        Ok(format!("shadow runs compared {equal} records of the same code, {different} of other code"))
    }
}
