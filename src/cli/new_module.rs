//! `millstream module new`: templates and SDKs, embedded in the binary, become a folder that builds by itself.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use clap::ValueEnum;

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
    /// Delivers records to the outside
    Sink,
    /// Brings records from outside, polled by the server
    Source,
}

/// Path in the new folder, path below `guest-examples/`, text.
type File = (&'static str, &'static str, &'static str);

/// What `module new` can begin with.
struct Template {
    language: Language,
    kind: Kind,
    /// where its author begins to write
    code: &'static str,
    files: &'static [&'static [File]],
}

macro_rules! embedded {
    ($($path:literal => $source:literal,)*) => {
        &[$(($path, $source, include_str!(concat!("../../guest-examples/", $source)))),*]
    };
}

const RUST_SDK: &[File] = embedded! {
    "sdk/Cargo.toml" => "sdk/Cargo.toml",
    "sdk/src/bindings.rs" => "sdk/src/bindings.rs",
    "sdk/src/config.rs" => "sdk/src/config.rs",
    "sdk/src/http.rs" => "sdk/src/http.rs",
    "sdk/src/lib.rs" => "sdk/src/lib.rs",
    "sdk/src/log.rs" => "sdk/src/log.rs",
    "sdk/src/model.rs" => "sdk/src/model.rs",
    "sdk/src/packed.rs" => "sdk/src/packed.rs",
    "sdk/src/packed/tests.rs" => "sdk/src/packed/tests.rs",
    "sdk/src/records.rs" => "sdk/src/records.rs",
    "sdk/src/runtime.rs" => "sdk/src/runtime.rs",
    "sdk/src/state.rs" => "sdk/src/state.rs",
    "sdk/src/testing.rs" => "sdk/src/testing.rs",
    "sdk/src/timers.rs" => "sdk/src/timers.rs",
    "sdk/src/toolbox/codec.rs" => "sdk/src/toolbox/codec.rs",
    "sdk/src/toolbox/dedup.rs" => "sdk/src/toolbox/dedup.rs",
    "sdk/src/toolbox/distinct.rs" => "sdk/src/toolbox/distinct.rs",
    "sdk/src/toolbox/expiry.rs" => "sdk/src/toolbox/expiry.rs",
    "sdk/src/toolbox/hash.rs" => "sdk/src/toolbox/hash.rs",
    "sdk/src/toolbox/joins.rs" => "sdk/src/toolbox/joins.rs",
    "sdk/src/toolbox/mod.rs" => "sdk/src/toolbox/mod.rs",
    "sdk/src/toolbox/sessions.rs" => "sdk/src/toolbox/sessions.rs",
    "sdk/src/toolbox/table.rs" => "sdk/src/toolbox/table.rs",
    "sdk/src/toolbox/top.rs" => "sdk/src/toolbox/top.rs",
    "sdk/src/toolbox/windows.rs" => "sdk/src/toolbox/windows.rs",
    "sdk/src/toolbox/windows/cursor.rs" => "sdk/src/toolbox/windows/cursor.rs",
    "sdk/wit/deps/clocks.wit" => "sdk/wit/deps/clocks.wit",
    "sdk/wit/deps/http.wit" => "sdk/wit/deps/http.wit",
    "sdk/wit/deps/io.wit" => "sdk/wit/deps/io.wit",
    "sdk/wit/millstream.wit" => "sdk/wit/millstream.wit",
};

const WIT: &[File] = embedded! { "wit/millstream.wit" => "sdk/wit/millstream.wit", };

const RUST_TRANSFORM: &[File] = embedded! {
    ".gitignore" => "template/.gitignore",
    "Cargo.toml" => "template/Cargo.toml",
    "README.md" => "template/README.md",
    "deploy.yaml" => "template/deploy.yaml",
    "src/lib.rs" => "template/src/lib.rs",
    "tests/upper.in.ndjson" => "template/tests/upper.in.ndjson",
    "tests/upper.out.ndjson" => "template/tests/upper.out.ndjson",
};

const RUST_PROCESSOR: &[File] = embedded! {
    ".gitignore" => "template-processor/.gitignore",
    "Cargo.toml" => "template-processor/Cargo.toml",
    "README.md" => "template-processor/README.md",
    "deploy.yaml" => "template-processor/deploy.yaml",
    "src/lib.rs" => "template-processor/src/lib.rs",
    "tests/count.in.ndjson" => "template-processor/tests/count.in.ndjson",
    "tests/count.out.ndjson" => "template-processor/tests/count.out.ndjson",
};

const RUST_TIMED: &[File] = embedded! {
    ".gitignore" => "template-timed/.gitignore",
    "Cargo.toml" => "template-timed/Cargo.toml",
    "README.md" => "template-timed/README.md",
    "src/lib.rs" => "template-timed/src/lib.rs",
};

/// What the timed templates of all languages have in common.
const TIMED: &[File] = embedded! {
    "deploy.yaml" => "template-timed/deploy.yaml",
    "tests/minutes.in.ndjson" => "template-timed/tests/minutes.in.ndjson",
    "tests/minutes.out.ndjson" => "template-timed/tests/minutes.out.ndjson",
};

const RUST_SOURCE: &[File] = embedded! {
    ".gitignore" => "template-source/.gitignore",
    "Cargo.toml" => "template-source/Cargo.toml",
    "README.md" => "template-source/README.md",
    "deploy.yaml" => "template-source/deploy.yaml",
    "src/lib.rs" => "template-source/src/lib.rs",
};

const RUST_SINK: &[File] = embedded! {
    ".gitignore" => "template-sink/.gitignore",
    "Cargo.toml" => "template-sink/Cargo.toml",
    "README.md" => "template-sink/README.md",
    "deploy.yaml" => "template-sink/deploy.yaml",
    "src/lib.rs" => "template-sink/src/lib.rs",
};

const JS_SDK: &[File] = embedded! {
    "sdk/millstream.js" => "sdk-js/millstream.js",
    "sdk/state.js" => "sdk-js/state.js",
    "sdk/timers.js" => "sdk-js/timers.js",
    "sdk/wit.d.ts" => "sdk-js/wit.d.ts",
};

const JS_TRANSFORM: &[File] = embedded! {
    ".gitignore" => "template-js/.gitignore",
    "README.md" => "template-js/README.md",
    "deploy.yaml" => "template-js/deploy.yaml",
    "package.json" => "template-js/package.json",
    "src/index.js" => "template-js/src/index.js",
    "tests/upper.in.ndjson" => "template-js/tests/upper.in.ndjson",
    "tests/upper.out.ndjson" => "template-js/tests/upper.out.ndjson",
};

const JS_PROCESSOR: &[File] = embedded! {
    ".gitignore" => "template-js/.gitignore",
    "README.md" => "template-js-processor/README.md",
    "deploy.yaml" => "template-processor/deploy.yaml",
    "package.json" => "template-js-processor/package.json",
    "src/index.js" => "template-js-processor/src/index.js",
    "tests/count.in.ndjson" => "template-processor/tests/count.in.ndjson",
    "tests/count.out.ndjson" => "template-processor/tests/count.out.ndjson",
};

const JS_TIMED: &[File] = embedded! {
    ".gitignore" => "template-js/.gitignore",
    "README.md" => "template-js-timed/README.md",
    "package.json" => "template-js-timed/package.json",
    "src/index.js" => "template-js-timed/src/index.js",
};

const TS_TRANSFORM: &[File] = embedded! {
    "README.md" => "template-ts/README.md",
    "package.json" => "template-ts/package.json",
    "src/index.ts" => "template-ts/src/index.ts",
    "tsconfig.json" => "template-ts/tsconfig.json",
    ".gitignore" => "template-js/.gitignore",
    "deploy.yaml" => "template-js/deploy.yaml",
    "tests/upper.in.ndjson" => "template-js/tests/upper.in.ndjson",
    "tests/upper.out.ndjson" => "template-js/tests/upper.out.ndjson",
};

const TS_PROCESSOR: &[File] = embedded! {
    "README.md" => "template-ts-processor/README.md",
    "package.json" => "template-ts-processor/package.json",
    "src/index.ts" => "template-ts-processor/src/index.ts",
    "tsconfig.json" => "template-ts/tsconfig.json",
    ".gitignore" => "template-js/.gitignore",
    "deploy.yaml" => "template-processor/deploy.yaml",
    "tests/count.in.ndjson" => "template-processor/tests/count.in.ndjson",
    "tests/count.out.ndjson" => "template-processor/tests/count.out.ndjson",
};

const TS_TIMED: &[File] = embedded! {
    ".gitignore" => "template-js/.gitignore",
    "README.md" => "template-ts-timed/README.md",
    "package.json" => "template-ts-timed/package.json",
    "src/index.ts" => "template-ts-timed/src/index.ts",
    "tsconfig.json" => "template-ts/tsconfig.json",
};

const PYTHON_SDK: &[File] = embedded! {
    "sdk/millstream.py" => "sdk-python/millstream.py",
};

const PYTHON_TRANSFORM: &[File] = embedded! {
    ".gitignore" => "template-python/.gitignore",
    "README.md" => "template-python/README.md",
    "app.py" => "template-python/app.py",
    "deploy.yaml" => "template-python/deploy.yaml",
    "pyproject.toml" => "template-python/pyproject.toml",
    "tests/upper.in.ndjson" => "template-python/tests/upper.in.ndjson",
    "tests/upper.out.ndjson" => "template-python/tests/upper.out.ndjson",
};

const PYTHON_PROCESSOR: &[File] = embedded! {
    ".gitignore" => "template-python/.gitignore",
    "README.md" => "template-python-processor/README.md",
    "app.py" => "template-python-processor/app.py",
    "pyproject.toml" => "template-python-processor/pyproject.toml",
    "deploy.yaml" => "template-processor/deploy.yaml",
    "tests/count.in.ndjson" => "template-processor/tests/count.in.ndjson",
    "tests/count.out.ndjson" => "template-processor/tests/count.out.ndjson",
};

const PYTHON_TIMED: &[File] = embedded! {
    ".gitignore" => "template-python/.gitignore",
    "README.md" => "template-python-timed/README.md",
    "app.py" => "template-python-timed/app.py",
    "pyproject.toml" => "template-python-timed/pyproject.toml",
};

const C_SDK: &[File] = embedded! {
    "sdk/millstream.c" => "sdk-c/millstream.c",
    "sdk/millstream.h" => "sdk-c/millstream.h",
    ".gitignore" => "template-c/.gitignore",
    "compile_flags.txt" => "template-c/compile_flags.txt",
};

const C_TRANSFORM: &[File] = embedded! {
    "README.md" => "template-c/README.md",
    "millstream.toml" => "template-c/millstream.toml",
    "src/transform.c" => "template-c/src/transform.c",
    "deploy.yaml" => "template-js/deploy.yaml",
    "tests/upper.in.ndjson" => "template-js/tests/upper.in.ndjson",
    "tests/upper.out.ndjson" => "template-c/tests/upper.out.ndjson",
};

const C_PROCESSOR: &[File] = embedded! {
    "README.md" => "template-c-processor/README.md",
    "millstream.toml" => "template-c-processor/millstream.toml",
    "src/processor.c" => "template-c-processor/src/processor.c",
    "deploy.yaml" => "template-processor/deploy.yaml",
    "tests/count.in.ndjson" => "template-processor/tests/count.in.ndjson",
    "tests/count.out.ndjson" => "template-processor/tests/count.out.ndjson",
};

const C_TIMED: &[File] = embedded! {
    "README.md" => "template-c-timed/README.md",
    "millstream.toml" => "template-c-timed/millstream.toml",
    "src/processor.c" => "template-c-timed/src/processor.c",
};

const GO_SDK: &[File] = embedded! {
    "sdk/go.mod" => "sdk-go/go.mod",
    "sdk/internal/abi/batch.go" => "sdk-go/internal/abi/batch.go",
    "sdk/internal/abi/host.go" => "sdk-go/internal/abi/host.go",
    "sdk/internal/abi/memory.go" => "sdk-go/internal/abi/memory.go",
    "sdk/internal/abi/open.go" => "sdk-go/internal/abi/open.go",
    "sdk/millstream.go" => "sdk-go/millstream.go",
    "sdk/processor/processor.go" => "sdk-go/processor/processor.go",
    "sdk/state/state.go" => "sdk-go/state/state.go",
    "sdk/timed/timed.go" => "sdk-go/timed/timed.go",
    "sdk/transform/transform.go" => "sdk-go/transform/transform.go",
    ".gitignore" => "template-go/.gitignore",
};

const GO_TRANSFORM: &[File] = embedded! {
    "README.md" => "template-go/README.md",
    "go.mod" => "template-go/go.mod",
    "main.go" => "template-go/main.go",
    "deploy.yaml" => "template-js/deploy.yaml",
    "tests/upper.in.ndjson" => "template-js/tests/upper.in.ndjson",
    "tests/upper.out.ndjson" => "template-go/tests/upper.out.ndjson",
};

const GO_PROCESSOR: &[File] = embedded! {
    "README.md" => "template-go-processor/README.md",
    "go.mod" => "template-go-processor/go.mod",
    "main.go" => "template-go-processor/main.go",
    "deploy.yaml" => "template-processor/deploy.yaml",
    "tests/count.in.ndjson" => "template-processor/tests/count.in.ndjson",
    "tests/count.out.ndjson" => "template-processor/tests/count.out.ndjson",
};

const GO_TIMED: &[File] = embedded! {
    "README.md" => "template-go-timed/README.md",
    "go.mod" => "template-go-timed/go.mod",
    "main.go" => "template-go-timed/main.go",
};

/// What there is to begin with.
const TEMPLATES: [Template; 20] = {
    use {Kind::*, Language::*};
    [
        template(Rust, Transform, "src/lib.rs", &[RUST_TRANSFORM, RUST_SDK]),
        template(Rust, Processor, "src/lib.rs", &[RUST_PROCESSOR, RUST_SDK]),
        template(Rust, TimedProcessor, "src/lib.rs", &[RUST_TIMED, TIMED, RUST_SDK]),
        template(Rust, Sink, "src/lib.rs", &[RUST_SINK, RUST_SDK]),
        template(Rust, Source, "src/lib.rs", &[RUST_SOURCE, RUST_SDK]),
        template(Js, Transform, "src/index.js", &[JS_TRANSFORM, JS_SDK, WIT]),
        template(Js, Processor, "src/index.js", &[JS_PROCESSOR, JS_SDK, WIT]),
        template(Js, TimedProcessor, "src/index.js", &[JS_TIMED, TIMED, JS_SDK, WIT]),
        template(Ts, Transform, "src/index.ts", &[TS_TRANSFORM, JS_SDK, WIT]),
        template(Ts, Processor, "src/index.ts", &[TS_PROCESSOR, JS_SDK, WIT]),
        template(Ts, TimedProcessor, "src/index.ts", &[TS_TIMED, TIMED, JS_SDK, WIT]),
        template(Python, Transform, "app.py", &[PYTHON_TRANSFORM, PYTHON_SDK, WIT]),
        template(Python, Processor, "app.py", &[PYTHON_PROCESSOR, PYTHON_SDK, WIT]),
        template(Python, TimedProcessor, "app.py", &[PYTHON_TIMED, TIMED, PYTHON_SDK, WIT]),
        template(C, Transform, "src/transform.c", &[C_TRANSFORM, C_SDK, WIT]),
        template(C, Processor, "src/processor.c", &[C_PROCESSOR, C_SDK, WIT]),
        template(C, TimedProcessor, "src/processor.c", &[C_TIMED, TIMED, C_SDK, WIT]),
        template(Go, Transform, "main.go", &[GO_TRANSFORM, GO_SDK, WIT]),
        template(Go, Processor, "main.go", &[GO_PROCESSOR, GO_SDK, WIT]),
        template(Go, TimedProcessor, "main.go", &[GO_TIMED, TIMED, GO_SDK, WIT]),
    ]
};

const fn template(
    language: Language,
    kind: Kind,
    code: &'static str,
    files: &'static [&'static [File]],
) -> Template {
    Template { language, kind, code, files }
}

/// Writes the folder `name`; an existing one is left alone.
pub(super) fn create(session: &Session, name: &str, language: Language, kind: Kind) -> Result<(), Failure> {
    check_name(name).map_err(Failure::Usage)?;
    let template = TEMPLATES.iter().find(|t| t.language == language && t.kind == kind).ok_or_else(|| {
        let there =
            TEMPLATES.iter().map(|t| format!("--lang {} --kind {}", word(&t.language), word(&t.kind)));
        Failure::Usage(format!(
            "there is no template for a {} in {}; there is {}",
            word(&kind),
            word(&language),
            there.collect::<Vec<_>>().join(", ")
        ))
    })?;
    write_all(template, Path::new(name), name)?;
    let has_golden_files = template.files.iter().copied().flatten().any(|file| file.0.starts_with("tests/"));
    let tests = match has_golden_files {
        true => "`millstream module test` runs tests/.",
        false => "`cargo test` runs its unit tests.",
    };
    let (kind, code) = (word(&kind), template.code);
    session.out.hint(format!(
        "{name}/ is a working {kind}; its code is in {name}/{code}. Next:\n  \
         cd {name}\n  \
         millstream dev\n\
         which starts a server, deploys the {kind} and swaps it whenever a file is saved. {tests}"
    ));
    Ok(())
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
        for folder in [
            "template",
            "template-processor",
            "template-timed",
            "template-sink",
            "template-source",
            "template-js",
            "template-js-processor",
            "template-js-timed",
            "template-ts",
            "template-ts-processor",
            "template-ts-timed",
            "template-python",
            "template-python-processor",
            "template-python-timed",
            "template-c",
            "template-c-processor",
            "template-c-timed",
            "template-go",
            "template-go-processor",
            "template-go-timed",
            "sdk",
            "sdk-js",
            "sdk-python",
            "sdk-c",
            "sdk-go",
        ] {
            files_below(Path::new(folder), &mut there);
        }
        let embedded: BTreeSet<_> = TEMPLATES.iter().flat_map(files).map(|f| f.1.to_owned()).collect();
        assert_eq!(embedded, there, "complete the lists in {}", file!());
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
    fn names_that_cargo_would_refuse_are_refused() {
        assert_eq!(check_name("my-filter_2"), Ok(()));
        for bad in ["2fast", "a.b", "", "a b", "-x"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
