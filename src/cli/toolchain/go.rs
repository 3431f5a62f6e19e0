//! Go: its own compiler builds a core module for WASI preview 1, to which the world's WIT is added. The server makes it a
//! component.

use std::path::PathBuf;

use super::{absolute, answer, finish, output, tool, with_world};
use crate::cli::failure::Failure;
use crate::cli::project::Project;
use crate::wasm::inspect;

const MISSING: &str = "go is not there\nhint: https://go.dev/dl, or the package golang of your system";
/// The oldest Go that exports functions of a library for WASI.
const GO_MIN: (u32, u32) = (1, 24);

pub(super) async fn build(project: &Project) -> Result<PathBuf, Failure> {
    let mut go = tool(project, "go");
    go.args(["env", "GOVERSION"]);
    let version = answer(go).await.ok_or_else(|| Failure::Local(MISSING.to_owned()))?;
    if parsed(&version).is_some_and(|version| version < GO_MIN) {
        let (major, minor) = GO_MIN;
        return Err(Failure::Local(format!(
            "{version} is too old: modules need go{major}.{minor} or later\nhint: https://go.dev/dl"
        )));
    }

    let out = output(project)?;
    let mut go = tool(project, "go");
    // Without debug information, and without this machine's paths; function names stay, so that a trap can be read.
    go.args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-w", "-o"]).arg(absolute(&out)?).arg(".");
    go.env("GOOS", "wasip1").env("GOARCH", "wasm");
    finish(go, MISSING).await?;

    let module = std::fs::read(&out).map_err(|e| Failure::local("cannot read what go has built", e))?;
    let world = inspect::packed_world(&module).ok_or_else(|| {
        Failure::Local(
            "the code offers nothing that the server calls\nhint: func init() { transform.Each(…) }, or \
             processor.Each(…), of the packages in sdk/"
                .to_owned(),
        )
    })?;
    with_world(&out, world)?;
    Ok(out)
}

/// `go1.26.8` as its first two numbers.
fn parsed(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches("go").split(['.', '-', 'r', 'b', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_are_compared_as_numbers() {
        assert_eq!(parsed("go1.26.8"), Some((1, 26)));
        assert_eq!(parsed("go1.24rc1"), Some((1, 24)));
        assert_eq!(parsed("devel"), None);
        assert!(parsed("go1.9").unwrap() < GO_MIN);
    }
}
