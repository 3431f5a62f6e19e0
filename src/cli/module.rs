//! `millstream module`: what is uploaded, and what becomes a module.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::client::Call;
use super::failure::Failure;
use super::new_module::{self, Kind};
use super::output::{Column, at, human_bytes, plain, render_fields, size};
use super::project::{Engine, Language, Project};
use super::session::Session;
use super::{rehearsal, run, toolchain};
use crate::model::limits::{COMPILE_TIME_MAX, MODULE_BYTES_MAX};

/// Modules: new, build, test, run, push, list, inspect, wit, delete
#[derive(Args)]
pub(super) struct Module {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a module of your own: a folder that works as it is
    New {
        /// Name of the module and of the folder
        name: String,
        #[arg(long, value_enum, default_value_t = Language::Rust)]
        lang: Language,
        #[arg(long, value_enum, default_value_t = Kind::Transform)]
        kind: Kind,
    },
    /// Build the project in a folder
    Build {
        /// Folder with Cargo.toml, package.json or pyproject.toml
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// What runs JavaScript [default: `millstream.engine` of package.json, else quickjs]
        #[arg(long, value_enum)]
        engine: Option<Engine>,
    },
    Test(rehearsal::Test),
    Run(run::ModuleRun),
    /// Upload a component, or build a project and upload that
    Push {
        /// Name on the server [default: the project's]
        name: Option<String>,
        /// A .wasm file or the folder of a project [default: this folder]
        path: Option<PathBuf>,
        /// Such as 1.2.0 [default: the next patch]
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
        /// Only check; nothing is stored
        #[arg(long)]
        dry_run: bool,
    },
    /// All modules
    List,
    /// Kind, imports, exports of a version
    Inspect {
        /// NAME or NAME@VERSION; a version is latest, 1.2.0 or sha256:…
        module: String,
    },
    /// The WIT of a version; without one, the WIT that modules are written against
    Wit {
        /// NAME or NAME@VERSION
        module: Option<String>,
    },
    /// Delete a module or one version of it
    Delete {
        /// NAME or NAME@VERSION
        module: String,
    },
}

const COLUMNS: [Column; 6] = [
    ("NAME", |m| at(m, "/name")),
    ("LATEST", |m| at(m, "/latest/version")),
    ("KIND", |m| at(m, "/latest/kind")),
    ("SIZE", |m| size(m, "/latest/size")),
    ("DIGEST", |m| short(&at(m, "/latest/digest"))),
    ("USED BY", |m| at(m, "/used_by")),
];

/// Enough of a digest to tell versions apart.
fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}

pub(super) async fn run(session: &Session, args: Module) -> Result<(), Failure> {
    match args.command {
        Command::New { name, lang, kind } => new_module::create(session, &name, lang, kind),
        Command::Build { folder, engine } => toolchain::run(session, &folder, engine).await,
        Command::Test(args) => rehearsal::run(session, args).await,
        Command::Run(args) => run::module(session, args).await,
        Command::Push { name, path, version, dry_run } => {
            let (name, file) = what_to_push(session, name, path).await?;
            push(session, &name, &file, version, dry_run).await
        }
        Command::List => {
            let modules = session.client.items(|| Call::get(&["v1", "modules"]), None).await?;
            session.out.list(&modules, &COLUMNS)
        }
        Command::Inspect { module } => {
            let (name, version) = split(&module);
            let call = Call::get(&["v1", "modules", name, "versions", version]);
            let version = session.client.json(call).await?;
            session.out.one(&version, inspect)
        }
        Command::Wit { module: None } => session.out.text(crate::wasm::WIT),
        Command::Wit { module: Some(module) } => {
            let (name, version) = split(&module);
            let call = Call::get(&["v1", "modules", name, "versions", version, "wit"]);
            let wit = session.client.bytes(call).await?;
            session.out.bytes(&wit)
        }
        Command::Delete { module } => {
            session.confirm(&format!("delete module `{module}`"))?;
            let call = match module.split_once('@') {
                Some((name, version)) => Call::delete(&["v1", "modules", name, "versions", version]),
                None => Call::delete(&["v1", "modules", &module]),
            };
            session.client.bytes(call).await?;
            session.out.hint(format!("module `{module}` is deleted"));
            Ok(())
        }
    }
}

/// Name and version; without one, the newest.
fn split(module: &str) -> (&str, &str) {
    module.split_once('@').unwrap_or((module, "latest"))
}

/// The name on the server and the file. `push shout`, `push .`, `push shout.wasm` and `push shout shout.wasm` all say
/// enough.
async fn what_to_push(
    session: &Session,
    name: Option<String>,
    path: Option<PathBuf>,
) -> Result<(String, PathBuf), Failure> {
    let (name, path) = match (name, path) {
        (Some(only), None) if is_path(&only) => (None, PathBuf::from(only)),
        (name, path) => (name, path.unwrap_or_else(|| ".".into())),
    };
    if !path.is_dir() {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        return Ok((name.unwrap_or(stem), path));
    }
    let project = Project::open(&path)?;
    let built = toolchain::build(session, &project).await?;
    session.out.hint(built.line());
    Ok((name.unwrap_or(project.name), built.file))
}

/// A path rather than a name: `.` and `/` stand in no project's name, and a module's file ends in `.wasm`.
fn is_path(text: &str) -> bool {
    text.starts_with('.') || text.contains('/') || text.ends_with(".wasm")
}

async fn push(
    session: &Session,
    name: &str,
    path: &Path,
    version: Option<String>,
    dry_run: bool,
) -> Result<(), Failure> {
    let answer = upload(session, name, path, version, dry_run).await?;
    let kind = at(&answer, "/kind");
    let line = if dry_run {
        format!("{} is a valid {kind} component", path.display())
    } else {
        format!(
            "module `{name}@{}` is there ({kind}, {})",
            at(&answer, "/version"),
            short(&at(&answer, "/digest"))
        )
    };
    session.out.done(&answer, &line)?;
    if !dry_run {
        tell_if_older(session, name, &at(&answer, "/version")).await;
    }
    Ok(())
}

/// What was uploaded before keeps its version. A newer one is what the name alone means, and what `deploy` runs.
async fn tell_if_older(session: &Session, name: &str, version: &str) {
    let call = Call::get(&["v1", "modules", name, "versions", "latest"]);
    let Ok(newest) = session.client.json(call).await else { return };
    let newest = at(&newest, "/version");
    if newest != version {
        session
            .out
            .hint(format!("`{name}` alone means {newest}; to run this one, deploy `{name}@{version}`"));
    }
}

/// Uploads a file, and waits until it is compiled.
pub(super) async fn upload(
    session: &Session,
    name: &str,
    path: &Path,
    version: Option<String>,
    dry_run: bool,
) -> Result<Value, Failure> {
    let bytes =
        std::fs::read(path).map_err(|e| Failure::local(&format!("cannot read {}", path.display()), e))?;
    if bytes.len() > MODULE_BYTES_MAX {
        let found = human_bytes(bytes.len() as u64);
        return Err(Failure::Refused(format!("{} has {found}, a module at most 64 MiB", path.display())));
    }
    let call = if dry_run {
        Call::post(&["v1", "modules", name, "validate"])
    } else {
        Call::put(&["v1", "modules", name]).query_some("version", version)
    };
    let call = call.body("application/wasm", Bytes::from(bytes)).takes(COMPILE_TIME_MAX);
    let spinner = spinner(session, if dry_run { "checking" } else { "uploading and compiling" });
    let answer = session.client.json(call).await;
    spinner.finish_and_clear();
    answer
}

fn spinner(session: &Session, what: &'static str) -> ProgressBar {
    if !session.out.draws_progress() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}");
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// A declared parameter in one line.
fn declared(name: &str, param: &Value) -> String {
    let mut line = format!("{name}: {}", at(param, "/type"));
    let values = param.get("values").and_then(Value::as_array).into_iter().flatten().map(plain);
    let values = values.collect::<Vec<_>>().join(" | ");
    for (what, text) in [
        ("of", values),
        ("from", at(param, "/min")),
        ("to", at(param, "/max")),
        ("default", at(param, "/default")),
    ] {
        if !text.is_empty() {
            line.push_str(&format!(" {what} {text}"));
        }
    }
    if param.get("required").and_then(Value::as_bool) == Some(true) {
        line.push_str(", required");
    }
    match at(param, "/description") {
        none if none.is_empty() => line,
        description => format!("{line} ({description})"),
    }
}

fn inspect(module: &Value) -> String {
    let compiled = match at(module, "/compile_ms") {
        ms if ms.is_empty() => ms,
        ms => format!("{} in {ms} ms CPU", size(module, "/compiled_size")),
    };
    let params = module.get("params").and_then(Value::as_object).into_iter().flatten();
    let params: Vec<_> = params.map(|(name, param)| declared(name, param)).collect();
    let fields = [
        ("name", at(module, "/name")),
        ("version", at(module, "/version")),
        ("kind", at(module, "/kind")),
        ("digest", at(module, "/digest")),
        ("size", size(module, "/size")),
        ("compiled", compiled),
        ("imports", at(module, "/imports")),
        ("exports", at(module, "/exports")),
        ("producers", at(module, "/producers")),
        ("params", params.join("\n")),
        ("used by", at(module, "/used_by")),
        ("created", at(module, "/created_at")),
    ];
    render_fields(&fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_without_a_version_means_the_newest() {
        assert_eq!(split("m@1.2.0"), ("m", "1.2.0"));
        assert_eq!(split("m"), ("m", "latest"));
    }

    #[test]
    fn a_declared_parameter_is_one_line() {
        let param =
            serde_json::json!({ "type": "integer", "min": "1", "default": "7", "description": "rows" });
        assert_eq!(declared("keep", &param), "keep: integer from 1 default 7 (rows)");
        let param = serde_json::json!({ "type": "enum", "values": ["a", "b"], "required": true });
        assert_eq!(declared("mode", &param), "mode: enum of a | b, required");
    }

    #[test]
    fn what_stands_alone_is_a_path_or_a_name() {
        let paths = [".", "./shout", "../shout", "a/b", "shout.wasm"];
        assert!(paths.into_iter().all(is_path));
        assert!(!is_path("shout"));
    }
}
