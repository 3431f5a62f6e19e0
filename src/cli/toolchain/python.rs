//! Python: componentize-py puts the source and a CPython into a component.

use std::path::PathBuf;

use super::{absolute, finish, output, tool};
use crate::cli::failure::Failure;
use crate::cli::project::Project;
use crate::cli::session::Session;

/// What is told to somebody without Python.
const MISSING: &str =
    "python3 is not there\nhint: https://www.python.org, or the packages python3 and python3-venv";
/// The environment that belongs to the project.
const ENVIRONMENT: &str = ".venv";
/// What the code imports; apart from the build's tools, which are no part of the component.
const CODE: &str = ".venv/millstream";
/// What was installed, to see when that changes.
const STAMP: &str = ".venv/millstream.txt";

pub(super) async fn build(session: &Session, project: &Project) -> Result<PathBuf, Failure> {
    let componentize = environment(session, project).await?;

    let out = output(project)?;
    let mut command = tool(project, &componentize);
    command.args([
        "--quiet",
        "--wit-path",
        "wit",
        "--world",
        &project.entry.world,
        "componentize",
        &project.entry.main,
    ]);
    for folder in [".", "sdk", CODE] {
        if project.path(folder).is_dir() {
            command.args(["--python-path", folder]);
        }
    }
    command.arg("--output").arg(absolute(&out)?);
    finish(
        command,
        "componentize-py is not there\nhint: name it in [dependency-groups] build of pyproject.toml",
    )
    .await?;
    Ok(out)
}

/// The tool, in an environment with the packages of pyproject.toml.
async fn environment(session: &Session, project: &Project) -> Result<PathBuf, Failure> {
    let packages = &project.packages;
    if packages.build.is_empty() {
        return Ok("componentize-py".into());
    }
    let componentize = absolute(&project.path(ENVIRONMENT).join("bin/componentize-py"))?;
    let wanted = format!("{}\n\n{}\n", packages.build.join("\n"), packages.code.join("\n"));
    if std::fs::read_to_string(project.path(STAMP)).is_ok_and(|there| there == wanted) {
        return Ok(componentize);
    }

    session.out.hint("installing what pyproject.toml names into .venv (once)");
    if !project.path(ENVIRONMENT).join("bin/python").exists() {
        let mut python = tool(project, "python3");
        python.args(["-m", "venv", ENVIRONMENT]);
        finish(python, MISSING).await?;
    }
    let pip = || -> Result<_, Failure> {
        let mut pip = tool(project, absolute(&project.path(ENVIRONMENT).join("bin/python"))?);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        Ok(pip)
    };
    let mut build = pip()?;
    build.args(&packages.build);
    finish(build, MISSING).await?;
    if !packages.code.is_empty() {
        let mut code = pip()?;
        code.args(["--upgrade", "--target", CODE]).args(&packages.code);
        finish(code, MISSING).await?;
    }
    std::fs::write(project.path(STAMP), wanted).map_err(|e| Failure::local("cannot write into .venv", e))?;
    Ok(componentize)
}
