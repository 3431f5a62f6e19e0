//! A folder with a module's sources: which language, which name. What says so is the manifest that the language's own
//! tools read, so that there is no other file to keep true.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Deserialize;

use super::failure::Failure;

/// What a module is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    Rust,
    /// JavaScript
    Js,
    /// TypeScript
    Ts,
    Python,
    C,
    Go,
}

/// What runs JavaScript in a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub(super) enum Engine {
    /// Small, and built in seconds
    #[default]
    QuickJs,
    /// All Web APIs, at seven times the size and ten times the time to build
    StarlingMonkey,
}

/// A module project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Project {
    pub(super) folder: PathBuf,
    pub(super) language: Language,
    pub(super) name: String,
    /// JavaScript, Python and C
    pub(super) entry: Entry,
    /// Python: packages that the build needs, and those that the code imports
    pub(super) packages: Packages,
}

/// What pip is to install.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Packages {
    pub(super) build: Vec<String>,
    pub(super) code: Vec<String>,
}

/// Where the code begins, and what of the WIT it implements.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// JavaScript: a file; Python: a module
    #[serde(default)]
    pub(super) main: String,
    /// a world of `wit/`, of C one of the packed ones
    #[serde(default)]
    pub(super) world: String,
    /// JavaScript alone
    #[serde(default)]
    pub(super) engine: Option<Engine>,
}

/// Manifests, each with its language. C has none of its own.
const MANIFESTS: [(&str, Language); 5] = [
    ("Cargo.toml", Language::Rust),
    ("package.json", Language::Js),
    ("pyproject.toml", Language::Python),
    ("millstream.toml", Language::C),
    ("go.mod", Language::Go),
];

#[derive(Deserialize)]
struct Cargo {
    package: Named,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    millstream: Entry,
}

#[derive(Deserialize)]
struct PyProject {
    project: Named,
    #[serde(default)]
    tool: Tool,
    #[serde(default, rename = "dependency-groups")]
    groups: Groups,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    name: String,
    world: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    dependencies: serde_json::Value,
}

#[derive(Deserialize, Default)]
struct Tool {
    #[serde(default)]
    millstream: Entry,
}

#[derive(Deserialize, Default)]
struct Groups {
    #[serde(default)]
    build: Vec<String>,
}

impl Project {
    /// The project in a folder.
    ///
    /// # Errors
    /// `Usage` when there is none, `Refused` when its manifest cannot be read.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        for (file, language) in MANIFESTS {
            let path = folder.join(file);
            if path.is_file() {
                let text = std::fs::read_to_string(&path);
                let text = text.map_err(|e| Failure::local(&format!("cannot read {}", path.display()), e))?;
                let parsed = Self::parse(folder, language, &text);
                return parsed.map_err(|why| Failure::Refused(format!("{}: {why}", path.display())));
            }
        }
        let files = MANIFESTS.map(|(file, _)| file).join(", ");
        Err(Failure::Usage(format!(
            "{} is no module project: it has none of {files}; `millstream module new NAME` begins one",
            folder.display()
        )))
    }

    fn parse(folder: &Path, language: Language, text: &str) -> Result<Self, String> {
        let folder = folder.to_owned();
        let (name, entry, packages) = match language {
            Language::Rust => {
                let cargo: Cargo = toml::from_str(text).map_err(|e| e.to_string())?;
                (cargo.package.name, Entry::default(), Packages::default())
            }
            Language::Js | Language::Ts => {
                let package: Package = serde_json::from_str(text).map_err(|e| e.to_string())?;
                (package.name, package.millstream.or("src/index.js"), Packages::default())
            }
            Language::Python => {
                let project: PyProject = toml::from_str(text).map_err(|e| e.to_string())?;
                let own = project.project.dependencies.as_array().into_iter().flatten();
                let code = own.filter_map(|p| p.as_str().map(str::to_owned)).collect();
                let packages = Packages { build: project.groups.build, code };
                (project.project.name, project.tool.millstream.or("app"), packages)
            }
            Language::C => {
                let own: Own = toml::from_str(text).map_err(|e| e.to_string())?;
                (own.name, Entry { world: own.world, ..Entry::default() }, Packages::default())
            }
            Language::Go => {
                let path = text.lines().find_map(|line| line.trim().strip_prefix("module "));
                let name = path.and_then(|path| path.trim().trim_matches('"').rsplit('/').next());
                let name = name.ok_or("it names no module")?.to_owned();
                (name, Entry::default(), Packages::default())
            }
        };
        if language == Language::Python && entry.engine.is_some() {
            return Err("`engine` is for JavaScript".to_owned());
        }
        // Both have the same manifest.
        let language = if entry.main.ends_with(".ts") { Language::Ts } else { language };
        Ok(Self { folder, language, name, entry, packages })
    }

    /// A file or folder of the project.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Entry {
    fn or(self, main: &str) -> Self {
        let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
        Self { main: or(self.main, main), world: or(self.world, "inline-transform"), engine: self.engine }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(language: Language, text: &str) -> Project {
        Project::parse(Path::new("d"), language, text).unwrap()
    }

    #[test]
    fn the_manifest_of_each_language_names_the_module() {
        assert_eq!(parse(Language::Rust, "[package]\nname = \"shout\"\n").name, "shout");

        let js = parse(Language::Js, r#"{"name": "shout", "millstream": {"world": "stateful-processor"}}"#);
        let entry = |main: &str, world: &str| Entry { main: main.into(), world: world.into(), engine: None };
        assert_eq!((js.name.as_str(), js.entry), ("shout", entry("src/index.js", "stateful-processor")));

        let ts = r#"{"name": "shout", "millstream": {"main": "src/a.ts", "engine": "starlingmonkey"}}"#;
        let ts = parse(Language::Js, ts);
        assert_eq!((ts.language, ts.entry.engine), (Language::Ts, Some(Engine::StarlingMonkey)));

        let text = "[project]\nname = \"shout\"\ndependencies = [\"attrs\"]\n[dependency-groups]\nbuild = [\"componentize-py==0.25.1\"]\n";
        let python = parse(Language::Python, text);
        assert_eq!((python.name.as_str(), python.entry), ("shout", entry("app", "inline-transform")));
        let packages = Packages { build: vec!["componentize-py==0.25.1".into()], code: vec!["attrs".into()] };
        assert_eq!(python.packages, packages);

        let c = parse(Language::C, "name = \"shout\"\nworld = \"packed-transform\"\n");
        assert_eq!((c.name.as_str(), c.entry.world.as_str()), ("shout", "packed-transform"));

        let go = parse(Language::Go, "// one\nmodule example.org/our/shout\n\ngo 1.24\n");
        assert_eq!(go.name, "shout");
    }

    #[test]
    fn a_folder_without_a_manifest_is_no_project() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Project::open(folder.path()).unwrap_err().code(), 2);
        std::fs::write(folder.path().join("package.json"), "{").unwrap();
        assert_eq!(Project::open(folder.path()).unwrap_err().code(), 7);
    }
}
