//! JavaScript: componentize-qjs puts the source and a QuickJS into a component.

use std::path::{Path, PathBuf};

use super::{absolute, finish, output, tool};
use crate::cli::failure::Failure;
use crate::cli::project::Project;
use crate::cli::session::Session;

/// What is told to somebody without Node.js.
const MISSING: &str =
    "npm is not there\nhint: https://nodejs.org, or the packages nodejs and npm of your system";

pub(super) async fn build(session: &Session, project: &Project) -> Result<PathBuf, Failure> {
    let componentize = match installed(&project.folder) {
        Some(tool) => tool,
        None => {
            session.out.hint("installing what package.json names (once)");
            let mut npm = tool(project, "npm");
            npm.args(["install", "--no-audit", "--no-fund", "--loglevel", "error"]);
            finish(npm, MISSING).await?;
            installed(&project.folder).ok_or_else(|| {
                Failure::Local(
                    "componentize-qjs is not installed\nhint: npm install --save-dev componentize-qjs"
                        .to_owned(),
                )
            })?
        }
    };

    let out = output(project)?;
    let mut command = tool(project, absolute(&componentize)?);
    command.args([
        "--wit",
        "wit",
        "--world",
        &project.entry.world,
        "--js",
        &project.entry.main,
        "--module-root",
        ".",
    ]);
    // Without asynchronous calls, and without WASI: the server gives neither files nor network.
    command.args(["--sync", "--stub-wasi", "--output"]).arg(absolute(&out)?);
    quietly(command, session).await?;
    Ok(out)
}

/// The tool prints what it was told to do; only a failure is worth reading.
async fn quietly(mut command: tokio::process::Command, session: &Session) -> Result<(), Failure> {
    if session.verbose {
        return finish(command, MISSING).await;
    }
    let output = command.output().await.map_err(|e| super::start(&command, &e, MISSING))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(Failure::Local(format!("componentize-qjs failed:\n{}", String::from_utf8_lossy(&text).trim_end())))
}

/// As npm installs it, here or in a folder above.
fn installed(folder: &Path) -> Option<PathBuf> {
    let folder = std::path::absolute(folder).ok()?;
    let places = folder.ancestors().map(|folder| folder.join("node_modules/.bin/componentize-qjs"));
    places.into_iter().find(|place| place.is_file())
}
