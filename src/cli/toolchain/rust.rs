//! Rust: cargo builds a core module, which the server makes a component.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use super::{answer, start, tool};
use crate::cli::failure::Failure;
use crate::cli::project::Project;
use crate::cli::session::Session;

const TARGET: &str = "wasm32-unknown-unknown";

pub(super) async fn build(session: &Session, project: &Project) -> Result<PathBuf, Failure> {
    let mut rustc = tool(project, "rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let library = answer(rustc).await.map(PathBuf::from);
    if library.is_some_and(|library| !library.is_dir()) {
        return Err(Failure::Local(format!(
            "Rust's library for {TARGET} is missing\nhint: rustup target add {TARGET}"
        )));
    }

    let mut cargo = tool(project, "cargo");
    cargo.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    if session.out.quiet {
        cargo.arg("--quiet");
    }
    let missing = "cargo is not there\nhint: https://rustup.rs installs Rust";
    let child = cargo.stdout(Stdio::piped()).spawn().map_err(|e| start(&cargo, &e, missing))?;
    let output = child.wait_with_output().await.map_err(|e| Failure::local("cannot wait for cargo", e))?;
    if !output.status.success() {
        return Err(Failure::Local("cargo build failed; its messages stand above".to_owned()));
    }
    component(&output.stdout, &project.name).ok_or_else(|| {
        Failure::Local(format!(
            "cargo built no module of `{}`\nhint: its Cargo.toml needs [lib] crate-type = [\"cdylib\"]",
            project.name
        ))
    })
}

/// The file that cargo's messages name for the package's library.
fn component(messages: &[u8], package: &str) -> Option<PathBuf> {
    let target = package.replace('-', "_");
    let messages =
        messages.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut files = messages
        .filter(|message| {
            message.pointer("/target/name").is_some_and(|name| name == target.as_str() || name == package)
        })
        .filter_map(|message| {
            let files = message.get("filenames")?.as_array()?.iter().filter_map(Value::as_str);
            files.filter(|file| file.ends_with(".wasm")).map(PathBuf::from).next()
        });
    files.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_found_among_cargos_messages() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"millstream_sdk"},"filenames":["/t/libmillstream_sdk.rlib"]}
{"reason":"compiler-artifact","target":{"name":"my_filter"},"filenames":["/t/my_filter.wasm"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(component(messages, "my-filter"), Some(PathBuf::from("/t/my_filter.wasm")));
        assert_eq!(component(messages, "other"), None);
    }
}
