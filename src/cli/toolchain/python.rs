//! Python: componentize-py puts the source and a CPython into a component.

use std::path::PathBuf;

use tokio::process::Command;

use super::{absolute, answer, captured, finish, output, tool};
use crate::cli::failure::Failure;
use crate::cli::project::Project;
use crate::cli::session::Session;

/// What is told to somebody without Python.
const MISSING: &str =
    "python3 is not there\nhint: https://www.python.org, or the packages python3 and python3-venv";
/// The oldest Python that componentize-py installs on.
const PYTHON_MIN: (u32, u32) = (3, 10);
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
    command.arg("--output").arg(absolute(&out)?).env("RUST_BACKTRACE", "0");
    let missing =
        "componentize-py is not there\nhint: name it in [dependency-groups] build of pyproject.toml";
    let done = captured(command, missing).await?;
    if done.success {
        return Ok(out);
    }
    Err(Failure::Local(format!(
        "the code fails while it is built, when its files are run for the first time:\n{}",
        of_the_code(&done.text)
    )))
}

/// What Python said of the user's code, without the tool's own stack around it; paths as the project has them.
fn of_the_code(text: &str) -> String {
    let told = text.split_once("AssertionError: ").map_or(text, |(_, told)| told);
    let told = told.split_once("\n\nCaused by:").map_or(told, |(told, _)| told);
    // The tool mounts the folders that it was given, by number.
    told.trim_matches('\n').replace("File \"/0/", "File \"").replace("File \"/1/", "File \"sdk/")
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
    if !project.path(ENVIRONMENT).join("bin/pip").exists() {
        make_environment(project).await?;
    }
    let pip = || -> Result<_, Failure> {
        let mut pip = tool(project, absolute(&project.path(ENVIRONMENT).join("bin/python"))?);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]);
        Ok(pip)
    };
    let mut build = pip()?;
    build.args(&packages.build);
    installed(build).await?;
    if !packages.code.is_empty() {
        let mut code = pip()?;
        code.args(["--upgrade", "--target", CODE]).args(&packages.code);
        installed(code).await?;
    }
    std::fs::write(project.path(STAMP), wanted).map_err(|e| Failure::local("cannot write into .venv", e))?;
    Ok(componentize)
}

/// `.venv`, made by a Python that is new enough.
async fn make_environment(project: &Project) -> Result<(), Failure> {
    let mut python = tool(project, "python3");
    python.args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
    let version = answer(python).await.ok_or_else(|| Failure::Local(MISSING.to_owned()))?;
    let parsed = version
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
    if parsed.is_some_and(|version| version < PYTHON_MIN) {
        let (major, minor) = PYTHON_MIN;
        return Err(Failure::Local(format!(
            "Python {version} is too old: componentize-py needs {major}.{minor} or later\nhint: https://www.python.org"
        )));
    }
    let mut python = tool(project, "python3");
    // What is left of an attempt without pip would be taken for an environment.
    python.args(["-m", "venv", "--clear", ENVIRONMENT]);
    finish(python, MISSING).await
}

/// Lets pip install packages.
async fn installed(pip: Command) -> Result<(), Failure> {
    finish(pip, MISSING).await.map_err(|failure| match failure {
        Failure::Local(text) if text != MISSING => Failure::Local(format!(
            "{text}\nhint: pip takes packages from its index; `python3 -m pip config list` names another"
        )),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_says_of_the_code_stands_alone() {
        let text = "Traceback (most recent call last):\n  File \".venv/bin/componentize-py\", line 8, in <module>\n\
            AssertionError:   File \"/0/app.py\", line 1\n    def judge(record:\n             ^\n\
            SyntaxError: '(' was never closed\n\n\nCaused by:\n    SyntaxError: '(' was never closed (app.py, line 1)\n";
        let told = "  File \"app.py\", line 1\n    def judge(record:\n             ^\nSyntaxError: '(' was never closed";
        assert_eq!(of_the_code(text), told);
        assert_eq!(of_the_code("error: no such world\n"), "error: no such world");
    }
}
