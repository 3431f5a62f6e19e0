//! `millstream module new`: the template and the SDK, embedded in the binary, become a folder that builds by itself.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use clap::ValueEnum;

use super::failure::Failure;
use super::session::Session;
use crate::model::ModuleName;

/// What the module is written in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    Rust,
}

/// What the module is.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Judges and rewrites records before they are stored
    Inline,
}

macro_rules! embedded {
    ($($path:literal => $source:literal,)*) => {
        &[$(($path, $source, include_str!(concat!("../../guest-examples/", $source)))),*]
    };
}

/// Path in the new folder, path below `guest-examples/`, text.
const FILES: &[(&str, &str, &str)] = embedded! {
    ".gitignore" => "template/.gitignore",
    "Cargo.toml" => "template/Cargo.toml",
    "README.md" => "template/README.md",
    "deploy.yaml" => "template/deploy.yaml",
    "src/lib.rs" => "template/src/lib.rs",
    "sdk/Cargo.toml" => "sdk/Cargo.toml",
    "sdk/src/bindings.rs" => "sdk/src/bindings.rs",
    "sdk/src/config.rs" => "sdk/src/config.rs",
    "sdk/src/lib.rs" => "sdk/src/lib.rs",
    "sdk/src/log.rs" => "sdk/src/log.rs",
    "sdk/src/model.rs" => "sdk/src/model.rs",
    "sdk/src/packed.rs" => "sdk/src/packed.rs",
    "sdk/src/packed/tests.rs" => "sdk/src/packed/tests.rs",
    "sdk/src/runtime.rs" => "sdk/src/runtime.rs",
    "sdk/src/state.rs" => "sdk/src/state.rs",
    "sdk/src/testing.rs" => "sdk/src/testing.rs",
    "sdk/wit/millstream.wit" => "sdk/wit/millstream.wit",
};

/// Writes the folder `name`; an existing one is left alone.
pub(super) fn create(session: &Session, name: &str, _: Language, _: Kind) -> Result<(), Failure> {
    check_name(name).map_err(Failure::Usage)?;
    write_all(Path::new(name), name)?;
    session.out.hint(format!(
        "{name}/ is a working transform; its code is in {name}/src/lib.rs. Next:\n  \
         cd {name}\n  \
         cargo build --release --target wasm32-unknown-unknown\n  \
         millstream topic create events\n  \
         millstream module push {name}\n  \
         millstream deploy\n\
         (once: rustup target add wasm32-unknown-unknown)"
    ));
    Ok(())
}

/// A name that is good for the server and for cargo.
fn check_name(name: &str) -> Result<(), String> {
    ModuleName::parse(name).map_err(|e| e.to_string())?;
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic()) && !name.contains('.');
    if fits {
        return Ok(());
    }
    Err(format!("`{name}`: a crate's name begins with a letter and has letters, digits, `-` and `_`"))
}

fn write_all(folder: &Path, name: &str) -> Result<(), Failure> {
    let failed =
        |path: &Path, e: std::io::Error| Failure::local(&format!("cannot write {}", path.display()), e);
    if folder.exists() {
        return Err(Failure::Usage(format!("{} is there already; choose another name", folder.display())));
    }
    for (path, _, text) in FILES {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| failed(parent, e))?;
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = file.and_then(|mut f| f.write_all(fill(text, name).as_bytes()));
        written.map_err(|e| failed(&path, e))?;
    }
    Ok(())
}

/// The name, and the name of the file that cargo makes of it.
fn fill(text: &str, name: &str) -> String {
    text.replace("{{name}}", name).replace("{{crate}}", &name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every file below a folder of `guest-examples/`, without what is built and the SDK's own integration tests.
    fn files_below(folder: &Path, found: &mut BTreeSet<String>) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-examples");
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let name = folder.join(entry.unwrap().file_name());
            let text = name.to_string_lossy().into_owned();
            if ["sdk/tests", "sdk/target", "template/target"].contains(&&*text)
                || text.ends_with("Cargo.lock")
            {
                continue;
            }
            if root.join(&name).is_dir() {
                files_below(&name, found);
            } else {
                found.insert(text);
            }
        }
    }

    #[test]
    fn every_file_of_the_template_and_of_the_sdk_is_embedded() {
        let mut there = BTreeSet::new();
        files_below(Path::new("template"), &mut there);
        files_below(Path::new("sdk"), &mut there);
        let embedded: BTreeSet<_> = FILES.iter().map(|f| f.1.to_owned()).collect();
        assert_eq!(embedded, there, "complete FILES in {}", file!());
    }

    #[test]
    fn a_new_module_has_its_name_everywhere() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("my-filter");
        write_all(&folder, "my-filter").map_err(|f| f.report(false)).unwrap();
        let text = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
        assert!(text("Cargo.toml").contains("name = \"my-filter\""));
        assert!(text("Cargo.toml").contains("path = \"sdk\""));
        assert!(text("README.md").contains("/my_filter.wasm"));
        let placeholders = FILES.iter().filter(|f| text(f.0).contains("{{")).map(|f| f.0).collect::<Vec<_>>();
        assert_eq!(placeholders, [] as [&str; 0]);
        assert!(write_all(&folder, "my-filter").is_err(), "an existing folder is left alone");
    }

    #[test]
    fn names_that_cargo_would_refuse_are_refused() {
        assert_eq!(check_name("my-filter_2"), Ok(()));
        for bad in ["2fast", "a.b", "", "a b", "-x"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
