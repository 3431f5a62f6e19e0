//! Keeps the shape of `src/` that `docs/ARCHITECTURE.md` describes: who may import whom, and which things live in one
//! place only. It reads text, not syntax: comments are passed over, and every failure says what to do instead.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::support;

/// Modules from the ground up. A module imports only from modules on lower floors, never from its own.
const FLOORS: [&[&str]; 12] = [
    &["model", "runtime", "telemetry"],
    &["storage"],
    &["state"],
    &["wasm"],
    &["registry", "groups"],
    &["broker"],
    &["pipelines"],
    &["kafka", "http"],
    &["config"],
    &["server"],
    &["cli"],
    &["main", "lib"],
];

/// Something that lives in one place.
struct Home {
    /// what the code of all other files must not contain
    words: &'static [&'static str],
    /// files and folders of `src/` where it is at home
    homes: &'static [&'static str],
    /// what to do instead
    instead: &'static str,
}

const HOMES: [Home; 8] = [
    Home {
        words: &["rocksdb::", "use rocksdb", "librocksdb"],
        homes: &["storage"],
        instead: "only `storage` knows RocksDB; give it the operation that is missing",
    },
    Home {
        words: &[
            "wasmtime::",
            "wasmtime_wasi::",
            "wasmtime_wasi_http::",
            "use wasmtime",
            "wit_component::",
            "wit_parser::",
        ],
        homes: &["wasm"],
        instead: "only `wasm` knows wasmtime; give it the operation that is missing",
    },
    Home {
        words: &["Instant::now", "SystemTime::now", "Zoned::now", "Timestamp::now", "clock_gettime"],
        homes: &["runtime"],
        instead: "use runtime::clock, so that tests can move the time",
    },
    Home {
        words: &["tokio::spawn", "task::spawn", "thread::spawn", "thread::Builder", "JoinSet::"],
        homes: &["runtime"],
        instead: "use runtime::tasks: every task and thread has a name and an owner",
    },
    Home {
        words: &["env::var", "env::set_var"],
        homes: &["config"],
        instead: "only `config` reads the environment; take the value as a parameter",
    },
    Home {
        words: &["println!", "print!(", "dbg!(", "io::stdout"],
        homes: &["cli", "main.rs"],
        instead: "only the command line prints; log with tracing",
    },
    Home {
        words: &["axum::", "hyper::", "StatusCode"],
        homes: &["http", "cli", "wasm/host/http"],
        instead: "below the doors nobody knows HTTP; give the error a variant and let http/error translate it",
    },
    Home { words: &["unbounded_channel", "mpsc::channel()"], homes: &[], instead: "every queue is bounded" },
];

/// Files that decide and do nothing else: no waiting, no sharing, no clock.
const PURE: [&str; 5] = ["model", "groups/machine", "kafka/wire", "pipelines/plan.rs", "pipelines/plan"];
const IMPURE_WORDS: [&str; 9] =
    ["async fn", "async move", ".await", "tokio::", "Mutex", "RwLock", "Atomic", "Clock", "monotonic("];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["utils", "util", "helpers", "helper", "common", "manager", "misc"];

/// Lines of a file without its tests.
const LINES_MAX: usize = 450;

/// A file of `src/`.
struct Source {
    /// below `src/`, with `/`
    path: String,
    text: String,
}

impl Source {
    /// The module of the top level that it belongs to.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn is_in(&self, home: &str) -> bool {
        self.path == home || self.path.strip_prefix(home).is_some_and(|rest| rest.starts_with(['/', '.']))
    }

    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name == "tests.rs" || name.ends_with("_tests.rs") || self.path.contains("/tests/")
    }

    /// The lines before an inline test module.
    fn plain_lines(&self) -> usize {
        let mut lines = self.text.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            let opens_module =
                lines.peek().is_some_and(|(_, next)| next.starts_with("mod tests") && next.ends_with('{'));
            if line == "#[cfg(test)]" && opens_module {
                return number;
            }
        }
        self.text.lines().count()
    }

    /// Line numbers and lines of code, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line));
        lines
            .map(|(number, line)| (number, without_comment(line)))
            .filter(|(_, line)| !line.trim().is_empty())
    }
}

/// The part before `//`. A `//` right after a colon is an address inside a string.
fn without_comment(line: &str) -> &str {
    let mut from = 0;
    while let Some(at) = line[from..].find("//").map(|at| at + from) {
        if !line[..at].ends_with(':') {
            return &line[..at];
        }
        from = at + 2;
    }
    line
}

fn sources() -> Vec<Source> {
    let root = support::repository().join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(files.len() > 10, "the sources are found");
    let source = |path: PathBuf| Source {
        text: std::fs::read_to_string(&path).expect("a source file is readable UTF-8"),
        path: path.strip_prefix(&root).expect("it was found below").to_string_lossy().replace('\\', "/"),
    };
    files.into_iter().map(source).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// Fails with one line per finding.
fn none(findings: &[String]) {
    let mut text = String::new();
    for finding in findings {
        let _ = write!(text, "\n  {finding}");
    }
    assert!(findings.is_empty(), "{} findings{text}\n", findings.len());
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Top-level modules named by `crate::module` on a line, also inside `crate::{a, b}`.
fn imports(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let before = line[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        let list = rest.strip_prefix('{').and_then(|r| r.split('}').next());
        let names = list.map_or_else(|| vec![rest], |inner| inner.split(',').collect());
        let ident =
            |text: &'_ str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        found.extend(names.into_iter().map(str::trim).map(|n| &n[..ident(n)]).filter(|n| !n.is_empty()));
    }
    found
}

fn upward_imports(source: &Source) -> Vec<String> {
    let own = source.module();
    let Some(floor) = floor_of(own) else {
        let order = "put it where it belongs in FLOORS and in docs/ARCHITECTURE.md";
        return vec![format!("src/{}: module `{own}` stands on no floor; {order}", source.path)];
    };
    let mut findings = Vec::new();
    for (number, line) in source.code() {
        for module in imports(line) {
            // A name that is no module is an item of the root or a macro.
            let Some(other) = floor_of(module) else { continue };
            if module != own && other >= floor {
                findings.push(format!(
                    "src/{}:{number}: `{own}` (floor {floor}) imports `{module}` (floor {other}); imports go down only: \
                     move the shared part down, or pass it in from above",
                    source.path
                ));
            }
        }
    }
    findings
}

fn strangers(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for home in HOMES.iter().filter(|h| !h.homes.iter().any(|place| source.is_in(place))) {
        for (number, line) in source.code() {
            if let Some(word) = home.words.iter().find(|w| line.contains(**w)) {
                findings.push(format!("src/{}:{number}: `{word}`: {}", source.path, home.instead));
            }
        }
    }
    findings
}

#[test]
fn modules_import_only_from_lower_floors() {
    none(&sources().iter().flat_map(upward_imports).collect::<Vec<_>>());
}

#[test]
fn each_thing_has_one_home() {
    let sources = sources();
    none(&sources.iter().filter(|s| !s.is_test()).flat_map(strangers).collect::<Vec<_>>());
}

#[test]
fn pure_modules_do_not_wait_share_or_ask_for_the_time() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|s| PURE.iter().any(|p| s.is_in(p))) {
        for (number, line) in source.code() {
            if let Some(word) = IMPURE_WORDS.iter().find(|w| line.contains(**w)) {
                let why = "this module only decides; take the time and the data as arguments";
                findings.push(format!("src/{}:{number}: `{word}`: {why}", source.path));
            }
        }
    }
    none(&findings);
}

#[test]
fn file_names_say_what_is_inside() {
    let mut findings = Vec::new();
    for source in sources() {
        let parts = source.path.split('/').map(|p| p.strip_suffix(".rs").unwrap_or(p));
        for part in parts.filter(|p| EMPTY_NAMES.contains(p)) {
            findings
                .push(format!("src/{}: `{part}` says nothing; name the file for what it holds", source.path));
        }
    }
    none(&findings);
}

#[test]
fn files_stay_short() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|s| !s.is_test()) {
        let lines = source.plain_lines();
        if lines > LINES_MAX {
            let what = format!("{lines} lines, at most {LINES_MAX} without tests; split it by what it holds");
            findings.push(format!("src/{}: {what}", source.path));
        }
    }
    none(&findings);
}

#[test]
fn every_file_says_what_it_is_for() {
    let sources = sources();
    let silent = sources.iter().filter(|s| !s.text.starts_with("//!"));
    none(
        &silent
            .map(|s| format!("src/{}: begins without `//!` and what it is for", s.path))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn the_rules_see_what_they_forbid() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let upward = source("storage/writer.rs", "use crate::{model::Offset, http::error};\n// crate::cli\n");
    assert_eq!(upward_imports(&upward).len(), 1);
    assert!(
        upward_imports(&upward)[0].starts_with("src/storage/writer.rs:1: `storage` (floor 1) imports `http`")
    );
    assert_eq!(upward_imports(&source("http/a.rs", "crate::kafka::x(); crate::broker::y();")).len(), 1);
    assert_eq!(upward_imports(&source("novelty/a.rs", "")).len(), 1);

    assert_eq!(strangers(&source("broker/a.rs", "let t = Instant::now(); // fine\nrocksdb::DB")).len(), 2);
    assert_eq!(
        strangers(&source("storage/db.rs", "use rocksdb::DB; // println!(\"http://x\")")),
        Vec::<String>::new()
    );
    assert_eq!(strangers(&source("server.rs", "println!(\"http://x\");")).len(), 1);
    assert_eq!(source("a.rs", "x\n#[cfg(test)]\nmod tests {\n}\n").plain_lines(), 1);
    assert_eq!(source("a.rs", "x\n#[cfg(test)]\n#[path = \"t.rs\"]\nmod tests;\n").plain_lines(), 4);
}
