//! `millstream module new`: templates and SDKs, embedded in the binary, become a folder that builds by itself.

mod templates;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use clap::ValueEnum;

use self::templates::{TEMPLATES, Template};
use super::failure::Failure;
use super::project::Language;
use super::session::Session;
use crate::model::ModuleName;

/// What the module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Judges and rewrites records; inline, before they are stored
    #[value(alias = "inline")]
    Transform,
    /// Keeps state, topic to topic
    Processor,
    /// A processor that is called again when time has come so far: windows, sessions, time-outs
    TimedProcessor,
    /// A processor that answers questions about what it keeps
    AnsweringProcessor,
    /// Delivers records to the outside
    Sink,
    /// Brings records from outside, polled by the server
    Source,
}

/// Writes the folder `name`; an existing one is left alone.
pub(super) fn create(session: &Session, name: &str, language: Language, kind: Kind) -> Result<(), Failure> {
    check_name(name).map_err(Failure::Usage)?;
    let template = TEMPLATES.iter().find(|t| t.language == language && t.kind == kind);
    let template = template.ok_or_else(|| Failure::Usage(no_template(language, kind)))?;
    write_all(template, Path::new(name), name)?;
    let (kind, code) = (word(&kind), template.code);
    session.out.hint(format!(
        "{name}/ is a working {kind}; its code is in {name}/{code}. Next:\n  \
         cd {name}\n  \
         millstream dev\n\
         which starts a server, deploys the {kind} and swaps it whenever a file is saved. `millstream module test` runs tests/."
    ));
    Ok(())
}

/// Where there is none: what the language has, and who has the kind.
fn no_template(language: Language, kind: Kind) -> String {
    let kinds = TEMPLATES.iter().filter(|t| t.language == language).map(|t| word(&t.kind));
    let languages = TEMPLATES.iter().filter(|t| t.kind == kind).map(|t| word(&t.language));
    format!(
        "there is no template for --lang {language} --kind {kind}: {language} has {}; {kind} is there in {}",
        kinds.collect::<Vec<_>>().join(", "),
        languages.collect::<Vec<_>>().join(", "),
        language = word(&language),
        kind = word(&kind),
    )
}

/// As it is written on the command line.
fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
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

fn write_all(template: &Template, folder: &Path, name: &str) -> Result<(), Failure> {
    let failed =
        |path: &Path, e: std::io::Error| Failure::local(&format!("cannot write {}", path.display()), e);
    if folder.exists() {
        return Err(Failure::Usage(format!("{} is there already; choose another name", folder.display())));
    }
    for (path, _, text) in template.files.iter().copied().flatten() {
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

    use super::templates::File;
    use super::*;
    use crate::cli::project::Project;

    /// Every file below a folder of `guest-examples/`, without what is built and the SDK's own integration tests.
    fn files_below(folder: &Path, found: &mut BTreeSet<String>) {
        // Cargo runs unit tests in the folder of the package.
        let root = Path::new("guest-examples");
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let name = folder.join(entry.unwrap().file_name());
            let text = name.to_string_lossy().into_owned();
            let built = ["target", "node_modules", "build", ".venv", "__pycache__"];
            let is_built = built.iter().any(|b| name.ends_with(b));
            // What templates share, such as an SDK, is linked into them.
            if text == "sdk/tests"
                || is_built
                || root.join(&name).is_symlink()
                || text.ends_with("Cargo.lock")
                || text.ends_with("package-lock.json")
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

    fn files(template: &Template) -> impl Iterator<Item = &File> {
        template.files.iter().copied().flatten()
    }

    #[test]
    fn every_file_of_the_templates_and_of_the_sdk_is_embedded() {
        let mut there = BTreeSet::new();
        for folder in std::fs::read_dir("guest-examples").unwrap() {
            let name = folder.unwrap().file_name();
            let text = name.to_string_lossy();
            if ["template", "sdk"]
                .iter()
                .any(|begin| text == *begin || text.starts_with(&format!("{begin}-")))
            {
                files_below(Path::new(&name), &mut there);
            }
        }
        let embedded: BTreeSet<_> = TEMPLATES.iter().flat_map(files).map(|f| f.1.to_owned()).collect();
        assert_eq!(embedded, there, "complete the lists in templates.rs");
    }

    #[test]
    fn a_new_module_has_its_name_everywhere_and_is_a_project() {
        for template in &TEMPLATES {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("my-filter");
            write_all(template, &folder, "my-filter").map_err(|f| f.report(false)).unwrap();
            let text = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
            let left = |f: &&File| ["{{name}}", "{{crate}}"].iter().any(|p| text(f.0).contains(p));
            let placeholders = files(template).filter(left).map(|f| f.0);
            assert_eq!(placeholders.collect::<Vec<_>>(), [] as [&str; 0]);

            let project = Project::open(&folder).unwrap();
            assert_eq!((project.name.as_str(), project.language), ("my-filter", template.language));
            assert!(folder.join(template.code).is_file());
            assert!(text("deploy.yaml").contains("module: my-filter"));
            assert!(write_all(template, &folder, "my-filter").is_err(), "an existing folder is left alone");
        }
    }

    #[test]
    fn a_template_that_is_not_there_is_answered_with_those_that_are_near() {
        let text = no_template(Language::C, Kind::Sink);
        let begin = "there is no template for --lang c --kind sink: c has transform, ";
        assert!(text.starts_with(begin) && text.contains("; sink is there in rust, "), "{text}");
        assert!(!text.contains("source"), "{text}");
    }

    #[test]
    fn names_that_cargo_would_refuse_are_refused() {
        assert_eq!(check_name("my-filter_2"), Ok(()));
        for bad in ["2fast", "a.b", "", "a b", "-x"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
