//! `millstream module build`: a project becomes a component by its language's own tools, with the flags that are needed.
//! What a project needs for itself is installed into the project; what belongs to the machine is named, never installed.

mod c;
mod go;
mod javascript;
mod params;
mod python;
mod rust;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;

use super::failure::Failure;
use super::output::human_bytes;
use super::project::{Engine, Language, Project};
use super::session::Session;
use crate::runtime::clock::monotonic;
use crate::wasm::inspect;

/// A built module.
#[derive(Debug, Clone)]
pub(super) struct Built {
    pub(super) file: PathBuf,
    pub(super) bytes: u64,
    pub(super) took: Duration,
}

/// Builds a project. The tools' own messages go to stderr.
///
/// # Errors
/// `Local` when a tool is missing or fails.
pub(super) async fn build(session: &Session, project: &Project) -> Result<Built, Failure> {
    let began = monotonic();
    let file = match project.language {
        Language::Rust => rust::build(session, project).await?,
        Language::Js | Language::Ts => javascript::build(session, project).await?,
        Language::Python => python::build(session, project).await?,
        Language::C => c::build(session, project).await?,
        Language::Go => go::build(project).await?,
    };
    let file = params::embed(project, file)?;
    let metadata = std::fs::metadata(&file);
    let bytes = metadata.map_err(|e| Failure::local(&format!("nothing is at {}", file.display()), e))?.len();
    Ok(Built { file, bytes, took: began.elapsed() })
}

/// `millstream module build`.
pub(super) async fn run(session: &Session, folder: &Path, engine: Option<Engine>) -> Result<(), Failure> {
    let mut project = Project::open(folder)?;
    if engine.is_some() {
        if !matches!(project.language, Language::Js | Language::Ts) {
            return Err(Failure::Usage("--engine is for JavaScript and TypeScript".to_owned()));
        }
        project.entry.engine = engine;
    }
    let built = build(session, &project).await?;
    let answer = json!({ "file": built.file.to_string_lossy(), "bytes": built.bytes, "build_ms": built.took.as_millis() as u64 });
    session.out.done(&answer, &built.line())
}

impl Built {
    /// For people.
    pub(super) fn line(&self) -> String {
        let seconds = self.took.as_secs_f64();
        format!("{}: {}, built in {seconds:.1} s", self.file.display(), human_bytes(self.bytes))
    }
}

/// A tool in the project's folder. Dropping what waits for it ends it.
fn tool(project: &Project, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&project.folder).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a tool to its end. What it prints, it prints to stderr: stdout is for data.
async fn finish(mut command: Command, missing: &str) -> Result<(), Failure> {
    let status =
        command.stdout(std::io::stderr()).status().await.map_err(|e| start(&command, &e, missing))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Local(format!("{} failed ({status}); its messages stand above", name(&command))))
}

/// How a tool ended, and all that it printed.
struct Done {
    success: bool,
    text: String,
}

/// Runs a tool whose words are not for everybody.
async fn captured(mut command: Command, missing: &str) -> Result<Done, Failure> {
    let output = command.output().await.map_err(|e| start(&command, &e, missing))?;
    let text = [output.stdout, output.stderr].concat();
    Ok(Done { success: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() })
}

/// Runs a tool and takes what it prints; `None` if it fails.
async fn answer(mut command: Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn start(command: &Command, error: &std::io::Error, missing: &str) -> Failure {
    match error.kind() {
        std::io::ErrorKind::NotFound => Failure::Local(missing.to_owned()),
        _ => Failure::Local(format!("cannot start {}: {error}", name(command))),
    }
}

fn name(command: &Command) -> String {
    let program = Path::new(command.as_std().get_program());
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where a component is written that no tool of the language has a place for.
fn output(project: &Project) -> Result<PathBuf, Failure> {
    let folder = project.path("build");
    std::fs::create_dir_all(&folder)
        .map_err(|e| Failure::local(&format!("cannot make {}", folder.display()), e))?;
    Ok(folder.join(format!("{}.wasm", project.name)))
}

/// Puts the WIT of a world into a module whose tools cannot do it.
fn with_world(file: &Path, world: &str) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::local(&format!("cannot change {}", file.display()), e);
    let module = std::fs::read(file).map_err(failed)?;
    let module = inspect::with_world(module, world)
        .map_err(|why| Failure::Local(format!("{}: {why}", file.display())))?;
    std::fs::write(file, module).map_err(failed)
}

/// A path for a tool that runs in the project's folder.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| Failure::local("cannot tell the working directory", e))
}
