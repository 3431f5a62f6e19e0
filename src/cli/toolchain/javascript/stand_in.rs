//! Imports of WASI by code on QuickJS. Its tool (0.4.5) runs the code once while it builds, over a host that has a part of WASI,
//! and stand-ins for whatever else is imported. A stand-in's handles are not those of the host's own part, so that
//! `wasi:http`, whose bodies are streams of `wasi:io`, cannot be linked there. Under another name all of them are
//! stand-ins, which fit each other; in the component the name is put right.

use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use crate::cli::project::{Engine, Project};

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

/// The bundle, whose lines stay where they are.
pub(super) fn of_bundle(text: &str) -> String {
    let imports = |line: &str| line.contains(&format!("from \"{NAME}"));
    let lines = text.split_inclusive('\n');
    lines.map(|line| if imports(line) { renamed(line) } else { line.to_owned() }).collect()
}

/// Writes the project's WIT anew, and says where, as seen from its folder.
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
        } else {
            std::fs::write(to, renamed(&std::fs::read_to_string(from)?))?;
        }
    }
    Ok(())
}

fn renamed(text: &str) -> String {
    text.replace(NAME, OTHER_NAME).replace(VERSION, OTHER_VERSION)
}

/// Gives the component's imports their name.
pub(super) fn put_right(component: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::local(&format!("cannot change {}", component.display()), e);
    let mut bytes = std::fs::read(component).map_err(failed)?;
    let places: Vec<_> = memchr::memmem::find_iter(&bytes, OTHER_NAME).collect();
    for place in places {
        bytes[place..place + NAME.len()].copy_from_slice(NAME.as_bytes());
    }
    std::fs::write(component, bytes).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_alone_are_renamed_and_get_their_name_back() {
        let text = "import {\n  a\n} from \"wasi:http/types@0.2.12\";\nlog(\"wasi:io\");\n";
        let other = "import {\n  a\n} from \"wazi:http/types@0.2.11\";\nlog(\"wasi:io\");\n";
        assert_eq!(of_bundle(text), other);

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        std::fs::write(&file, b"\0wazi:http/types@0.2.11\0wasi:io\xffwazi:io").unwrap();
        put_right(&file).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"\0wasi:http/types@0.2.11\0wasi:io\xffwasi:io");
    }
}
