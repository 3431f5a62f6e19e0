//! `params.yaml`: what a project says of its parameters goes into the bytes that are uploaded, in any language alike.

use std::path::PathBuf;

use serde_json::Value;

use super::output;
use crate::cli::failure::Failure;
use crate::cli::project::{Language, Project};
use crate::model::params::Params;
use crate::wasm::inspect::{declares_params, with_params};

/// Name → type, default, bounds.
const FILE: &str = "params.yaml";

/// Puts the project's declaration into what was built. Gives the file to upload.
///
/// # Errors
/// `Refused` when the declaration cannot be used.
pub(super) fn embed(project: &Project, built: PathBuf) -> Result<PathBuf, Failure> {
    let Some(params) = declared(project)? else { return Ok(built) };
    let bytes =
        std::fs::read(&built).map_err(|e| Failure::local(&format!("cannot read {}", built.display()), e))?;
    // What cargo has built is left alone, or cargo would take it for its own.
    let out = match project.language {
        Language::Rust if declares_params(&bytes) => {
            return Err(Failure::Refused(format!(
                "{FILE} and the macro params! both declare parameters; use one"
            )));
        }
        Language::Rust => output(project)?,
        Language::Js | Language::Ts | Language::Python | Language::C | Language::Go => built,
    };
    std::fs::write(&out, with_params(&bytes, &params))
        .map_err(|e| Failure::local(&format!("cannot write {}", out.display()), e))?;
    Ok(out)
}

fn declared(project: &Project) -> Result<Option<Params>, Failure> {
    let path = project.path(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::local(&format!("cannot read {}", path.display()), e)),
    };
    let refused = |why: String| Failure::Refused(format!("{}: {why}", path.display()));
    match serde_norway::from_str::<Value>(&text).map_err(|e| refused(e.to_string()))? {
        Value::Null => Ok(None),
        params => Params::of_project(params).map(Some).map_err(refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Project) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let project = Project::open(folder.path()).unwrap();
        (folder, project)
    }

    const CARGO: (&str, &str) = ("Cargo.toml", "[package]\nname = \"shout\"\n");

    #[test]
    fn a_declaration_goes_into_a_copy_of_what_cargo_has_built() {
        let (folder, project) = project(&[CARGO, (FILE, "loud: { type: boolean, default: true }\n")]);
        let built = folder.path().join("shout.wasm");
        std::fs::write(&built, b"\0asm\x01\0\0\0").unwrap();
        let out = embed(&project, built.clone()).unwrap();
        assert_eq!(out, folder.path().join("build/shout.wasm"));
        assert_eq!(std::fs::read(&built).unwrap().len(), 8);
        let bytes = std::fs::read(&out).unwrap();
        assert!(declares_params(&bytes));
        assert!(embed(&project, out).unwrap_err().report(false).unwrap().contains("use one"));
    }

    #[test]
    fn a_wrong_declaration_is_told_and_none_changes_nothing() {
        let (folder, wrong) = project(&[CARGO, (FILE, "loud: { type: bool }\n")]);
        let told = embed(&wrong, folder.path().join("x.wasm")).unwrap_err();
        assert!(told.report(false).unwrap().contains("unknown variant `bool`"));
        let (folder, none) = project(&[CARGO]);
        let built = folder.path().join("x.wasm");
        assert_eq!(embed(&none, built.clone()).unwrap(), built);
    }
}
