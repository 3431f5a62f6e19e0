//! `millstream module`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::client::Call;
use super::failure::Failure;
use super::new_module::{self, Kind, Language};
use super::output::{Column, at, human_bytes, render_fields, size};
use super::session::Session;
use crate::model::limits::{COMPILE_TIME_MAX, MODULE_BYTES_MAX};

/// Modules: new, push, list, inspect, wit, delete
#[derive(Args)]
pub(super) struct Module {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a module of your own: a folder with a working transform
    New {
        /// Name of the module and of the folder
        name: String,
        #[arg(long, value_enum, default_value_t = Language::Rust)]
        lang: Language,
        #[arg(long, value_enum, default_value_t = Kind::Inline)]
        kind: Kind,
    },
    /// Upload a component
    Push {
        /// Name on the server
        name: String,
        /// A .wasm file [default: the one that cargo built in this folder]
        file: Option<PathBuf>,
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
    /// The WIT of a version
    Wit {
        /// NAME or NAME@VERSION
        module: String,
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
        Command::Push { name, file, version, dry_run } => push(session, &name, file, version, dry_run).await,
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
        Command::Wit { module } => {
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

async fn push(
    session: &Session,
    name: &str,
    file: Option<PathBuf>,
    version: Option<String>,
    dry_run: bool,
) -> Result<(), Failure> {
    let path = match file {
        Some(path) => path,
        None => built_in(&session.cargo_target)?,
    };
    let bytes =
        std::fs::read(&path).map_err(|e| Failure::local(&format!("cannot read {}", path.display()), e))?;
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
    let answer = answer?;

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
    session.out.done(&answer, &line)
}

/// The one component that cargo has built for the guest target below its target directory.
fn built_in(target: &Path) -> Result<PathBuf, Failure> {
    let folder = target.join("wasm32-unknown-unknown/release");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut found: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == "wasm")).collect();
    found.sort();
    match (found.pop(), found.is_empty()) {
        (Some(path), true) => Ok(path),
        (None, _) => Err(Failure::Usage(format!(
            "nothing is built in {}; run `cargo build --release --target wasm32-unknown-unknown`, or name a .wasm file",
            folder.display()
        ))),
        (Some(_), false) => {
            Err(Failure::Usage(format!("several components in {}; name one", folder.display())))
        }
    }
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

fn inspect(module: &Value) -> String {
    let compiled = match at(module, "/compile_ms") {
        ms if ms.is_empty() => ms,
        ms => format!("{} in {ms} ms CPU", size(module, "/compiled_size")),
    };
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
}
