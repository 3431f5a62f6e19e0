//! Imports of WASI by code on QuickJS. Its tool (0.4.5) runs the code once while it builds, over a host that has a part of WASI,
//! and stand-ins for whatever else is imported. A stand-in's handles are not those of the host's own part, so that
//! `wasi:http`, whose bodies are streams of `wasi:io`, cannot be linked there. Under another name all of them are
//! stand-ins, which fit each other; in the component the name is put right.

use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use crate::cli::project::{Engine, Project};
use crate::wasm::inspect::import_sections;

const NAME: &str = "wasi:";
/// As long as the name, so that it can be put right in place.
const OTHER_NAME: &str = "wazi:";
/// What runs QuickJS imports WASI too, and no name may be there twice: of the two, the server links either.
const VERSION: &str = "@0.2.12";
const OTHER_VERSION: &str = "@0.2.11";
/// Packages that the project's own WIT imports from.
const PACKAGES: &str = "wit/deps";

/// Whether a project imports WASI, and has QuickJS.
pub(super) fn is_needed(project: &Project) -> bool {
    project.entry.engine.unwrap_or_default() == Engine::QuickJs && project.path(PACKAGES).is_dir()
}

/// The bundle, whose lines stay where they are. An import has the end of a line of its own, as esbuild writes it.
pub(super) fn of_bundle(text: &str) -> String {
    let imports = |line: &str| ["import ", "} from "].iter().any(|start| line.starts_with(start));
    let lines = text.split_inclusive('\n');
    lines.map(|line| if imports(line) { renamed(line) } else { line.to_owned() }).collect()
}

/// Writes the project's WIT anew, and says where, as seen from its folder. What else lies there, as editors leave it, stays.
pub(super) fn of_wit(project: &Project) -> Result<PathBuf, Failure> {
    let copy = PathBuf::from("build/wit");
    let failed = |e: std::io::Error| Failure::local("cannot write build/wit", e);
    let folder = project.path("build/wit");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(failed)?;
    }
    write_below(&project.path("wit"), &folder).map_err(failed)?;
    Ok(copy)
}

fn write_below(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            write_below(&from, &to)?;
        } else if from.extension().is_some_and(|extension| extension == "wit") {
            std::fs::write(to, renamed(&std::fs::read_to_string(from)?))?;
        }
    }
    Ok(())
}

/// Versions of other packages are none of ours.
fn renamed(text: &str) -> String {
    let mut parts = text.split(NAME);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_path = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '/';
        let (path, rest) = part.split_at(part.find(|c| !is_path(c)).unwrap_or(part.len()));
        let (version, rest) = rest.strip_prefix(VERSION).map_or(("", rest), |rest| (OTHER_VERSION, rest));
        out.extend([OTHER_NAME, path, version, rest]);
    }
    out
}

/// Gives the component's imports their name. What it holds besides, the code's own texts too, stays as it is.
pub(super) fn put_right(component: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::local(&format!("cannot change {}", component.display()), e);
    let mut bytes = std::fs::read(component).map_err(failed)?;
    for section in import_sections(&bytes) {
        let names = &mut bytes[section];
        let places: Vec<_> = memchr::memmem::find_iter(names, OTHER_NAME).collect();
        for place in places {
            names[place..place + NAME.len()].copy_from_slice(NAME.as_bytes());
        }
    }
    std::fs::write(component, bytes).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_alone_are_renamed() {
        let text = "import {\n  a\n} from \"wasi:http/types@0.2.12\";\nimport \"wasi:io/poll@0.2.12\";\n\
                    import { b } from \"mine:http/types@0.2.12\";\nlog(\"} from wasi:io\");\n";
        let other = "import {\n  a\n} from \"wazi:http/types@0.2.11\";\nimport \"wazi:io/poll@0.2.11\";\n\
                     import { b } from \"mine:http/types@0.2.12\";\nlog(\"} from wasi:io\");\n";
        assert_eq!(of_bundle(text), other);
    }

    #[test]
    fn wit_is_renamed_and_nothing_else_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("wit"), folder.path().join("copy"));
        std::fs::create_dir_all(from.join("deps")).unwrap();
        let text =
            "package mine:own@0.2.12;\nuse wasi:io/streams@0.2.12.{error};\nuse wasi:io/poll@0.2.3.{a};\n";
        let other =
            "package mine:own@0.2.12;\nuse wazi:io/streams@0.2.11.{error};\nuse wazi:io/poll@0.2.3.{a};\n";
        std::fs::write(from.join("deps/a.wit"), text).unwrap();
        std::fs::write(from.join("deps/.a.wit.swp"), b"\xff").unwrap();
        write_below(&from, &to).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("deps/a.wit")).unwrap(), other);
        assert!(!to.join("deps/.a.wit.swp").exists());
    }

    #[test]
    fn a_component_gets_the_names_of_its_imports_back_and_keeps_its_texts() {
        let text = |name: &str| {
            format!(
                r#"(component
                    (import "{name}:http/types@0.2.11" (instance))
                    (core module (memory 1) (data (i32.const 0) "wazi:http is what I say"))
                    (import "{name}:io/poll@0.2.11" (instance)))"#
            )
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        std::fs::write(&file, wat::parse_str(text("wazi")).unwrap()).unwrap();
        put_right(&file).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), wat::parse_str(text("wasi")).unwrap());
    }
}
