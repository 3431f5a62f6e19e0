//! What `millstream module new` can begin with, file by file, as it lies below `guest-examples/`.

use super::Kind;
use crate::cli::project::Language;

/// Path in the new folder, path below `guest-examples/`, text.
pub(super) type File = (&'static str, &'static str, &'static str);

/// What `module new` can begin with.
pub(super) struct Template {
    pub(super) language: Language,
    pub(super) kind: Kind,
    /// where its author begins to write
    pub(super) code: &'static str,
    pub(super) files: &'static [&'static [File]],
}

/// Files of a folder, each at its own path or below another folder.
macro_rules! of {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$((
            $path,
            concat!($folder, "/", $path),
            include_str!(concat!("../../../guest-examples/", $folder, "/", $path)),
        )),*]
    };
    ($folder:literal below $below:literal: $($path:literal),* $(,)?) => {
        &[$((
            concat!($below, "/", $path),
            concat!($folder, "/", $path),
            include_str!(concat!("../../../guest-examples/", $folder, "/", $path)),
        )),*]
    };
}

// === what templates of several languages have in common ===

const WIT: &[File] = of!("sdk/wit" below "wit": "millstream.wit");
const WIT_HTTP: &[File] =
    of!("sdk/wit" below "wit": "http.wit", "deps/clocks.wit", "deps/http.wit", "deps/io.wit");
const TRANSFORM: &[File] = of!("template-js": "deploy.yaml");
const UPPER: &[File] = of!("template-js": "tests/upper.in.ndjson", "tests/upper.out.ndjson");
const UPPER_IN: &[File] = of!("template-js": "tests/upper.in.ndjson");
const PROCESSOR: &[File] =
    of!("template-processor": "deploy.yaml", "tests/count.in.ndjson", "tests/count.out.ndjson");
const TIMED: &[File] =
    of!("template-timed": "deploy.yaml", "tests/minutes.in.ndjson", "tests/minutes.out.ndjson");
const SINK: &[File] = of!("template-sink":
    "deploy.yaml", "tests/deliver.answers.ndjson", "tests/deliver.in.ndjson", "tests/deliver.out.ndjson",
);
const SINK_PARAMS: &[File] = of!("template-js-sink": "params.yaml");
const SOURCE: &[File] =
    of!("template-source": "deploy.yaml", "tests/numbers.in.ndjson", "tests/numbers.out.ndjson");

// === Rust ===

const RUST_SDK: &[File] = of!("sdk" below "sdk":
    "Cargo.toml",
    "src/bindings.rs",
    "src/config.rs",
    "src/http.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/model.rs",
    "src/packed.rs",
    "src/packed/tests.rs",
    "src/records.rs",
    "src/runtime.rs",
    "src/state.rs",
    "src/testing.rs",
    "src/timers.rs",
    "src/toolbox/codec.rs",
    "src/toolbox/dedup.rs",
    "src/toolbox/distinct.rs",
    "src/toolbox/expiry.rs",
    "src/toolbox/hash.rs",
    "src/toolbox/joins.rs",
    "src/toolbox/mod.rs",
    "src/toolbox/sessions.rs",
    "src/toolbox/table.rs",
    "src/toolbox/top.rs",
    "src/toolbox/windows.rs",
    "src/toolbox/windows/cursor.rs",
    "src/toolbox/windows/fire.rs",
    "src/toolbox/windows/names.rs",
    "src/toolbox/windows/tests.rs",
    "wit/deps/clocks.wit",
    "wit/deps/http.wit",
    "wit/deps/io.wit",
    "wit/millstream.wit",
);
const RUST_TRANSFORM: &[File] = of!("template":
    ".gitignore", "Cargo.toml", "README.md", "deploy.yaml", "src/lib.rs", "tests/upper.in.ndjson",
    "tests/upper.out.ndjson",
);
const RUST_PROCESSOR: &[File] =
    of!("template-processor": ".gitignore", "Cargo.toml", "README.md", "src/lib.rs");
const RUST_ANSWERING: &[File] =
    of!("template-answering": ".gitignore", "Cargo.toml", "README.md", "src/lib.rs");
const RUST_TIMED: &[File] = of!("template-timed": ".gitignore", "Cargo.toml", "README.md", "src/lib.rs");
const RUST_SINK: &[File] = of!("template-sink": ".gitignore", "Cargo.toml", "README.md", "src/lib.rs");
const RUST_SOURCE: &[File] = of!("template-source": ".gitignore", "Cargo.toml", "README.md", "src/lib.rs");

// === JavaScript and TypeScript ===

const JS_SDK: &[File] =
    of!("sdk-js" below "sdk": "millstream.js", "query.js", "state.js", "timers.js", "wit.d.ts");
const JS_OUTSIDE: &[File] =
    of!("sdk-js" below "sdk": "http.js", "millstream.js", "sink.js", "source.js", "wit.d.ts");
const JS: &[File] = of!("template-js": ".gitignore");
const JS_TRANSFORM: &[File] = of!("template-js": "README.md", "package.json", "src/index.js");
const JS_PROCESSOR: &[File] = of!("template-js-processor": "README.md", "package.json", "src/index.js");
const JS_ANSWERING: &[File] = of!("template-js-answering": "README.md", "package.json", "src/index.js");
const JS_TIMED: &[File] = of!("template-js-timed": "README.md", "package.json", "src/index.js");
const JS_SINK: &[File] = of!("template-js-sink": "README.md", "package.json", "src/index.js");
const JS_SOURCE: &[File] = of!("template-js-source": "README.md", "package.json", "src/index.js");

const TS: &[File] = of!("template-ts": "tsconfig.json");
const TS_TRANSFORM: &[File] = of!("template-ts": "README.md", "package.json", "src/index.ts");
const TS_PROCESSOR: &[File] = of!("template-ts-processor": "README.md", "package.json", "src/index.ts");
const TS_ANSWERING: &[File] = of!("template-ts-answering": "README.md", "package.json", "src/index.ts");
const TS_TIMED: &[File] = of!("template-ts-timed": "README.md", "package.json", "src/index.ts");
const TS_SINK: &[File] = of!("template-ts-sink": "README.md", "package.json", "src/index.ts");
const TS_SOURCE: &[File] = of!("template-ts-source": "README.md", "package.json", "src/index.ts");

// === Python ===

const PYTHON_SDK: &[File] = of!("sdk-python" below "sdk": "millstream.py");
const PYTHON_OUTSIDE: &[File] = of!("sdk-python" below "sdk": "millstream.py", "millstream_http.py");
const PYTHON: &[File] = of!("template-python": ".gitignore");
const PYTHON_TRANSFORM: &[File] = of!("template-python":
    "README.md", "app.py", "deploy.yaml", "pyproject.toml", "tests/upper.in.ndjson", "tests/upper.out.ndjson",
);
const PYTHON_PROCESSOR: &[File] = of!("template-python-processor": "README.md", "app.py", "pyproject.toml");
const PYTHON_ANSWERING: &[File] = of!("template-python-answering": "README.md", "app.py", "pyproject.toml");
const PYTHON_TIMED: &[File] = of!("template-python-timed": "README.md", "app.py", "pyproject.toml");
const PYTHON_SINK: &[File] = of!("template-python-sink": "README.md", "app.py", "pyproject.toml");
const PYTHON_SOURCE: &[File] = of!("template-python-source": "README.md", "app.py", "pyproject.toml");

// === C ===

const C_SDK: &[File] = of!("sdk-c" below "sdk": "millstream.c", "millstream.h");
const C_ALL: &[File] = of!("template-c": ".gitignore", "compile_flags.txt");
const C_TRANSFORM: &[File] =
    of!("template-c": "README.md", "millstream.toml", "src/transform.c", "tests/upper.out.ndjson");
const C_PROCESSOR: &[File] = of!("template-c-processor": "README.md", "millstream.toml", "src/processor.c");
const C_ANSWERING: &[File] = of!("template-c-answering": "README.md", "millstream.toml", "src/processor.c");
const C_TIMED: &[File] = of!("template-c-timed": "README.md", "millstream.toml", "src/processor.c");

// === Go ===

const GO_SDK: &[File] = of!("sdk-go" below "sdk":
    "go.mod",
    "internal/abi/batch.go",
    "internal/abi/host.go",
    "internal/abi/memory.go",
    "internal/abi/open.go",
    "internal/abi/query.go",
    "millstream.go",
    "processor/processor.go",
    "query/query.go",
    "state/state.go",
    "timed/timed.go",
    "transform/transform.go",
);
const GO: &[File] = of!("template-go": ".gitignore");
const GO_TRANSFORM: &[File] = of!("template-go": "README.md", "go.mod", "main.go", "tests/upper.out.ndjson");
const GO_PROCESSOR: &[File] = of!("template-go-processor": "README.md", "go.mod", "main.go");
const GO_ANSWERING: &[File] = of!("template-go-answering": "README.md", "go.mod", "main.go");
const GO_TIMED: &[File] = of!("template-go-timed": "README.md", "go.mod", "main.go");

/// What there is to begin with.
pub(super) const TEMPLATES: [Template; 32] = {
    use {Kind::*, Language::*};
    const RS: &str = "src/lib.rs";
    const IN_JS: &str = "src/index.js";
    const IN_TS: &str = "src/index.ts";
    const PY: &str = "app.py";
    const IN_C: &str = "src/processor.c";
    [
        template(Rust, Transform, RS, &[RUST_TRANSFORM, RUST_SDK]),
        template(Rust, Processor, RS, &[RUST_PROCESSOR, PROCESSOR, RUST_SDK]),
        template(Rust, TimedProcessor, RS, &[RUST_TIMED, TIMED, RUST_SDK]),
        template(Rust, AnsweringProcessor, RS, &[RUST_ANSWERING, PROCESSOR, RUST_SDK]),
        template(Rust, Sink, RS, &[RUST_SINK, SINK, RUST_SDK]),
        template(Rust, Source, RS, &[RUST_SOURCE, SOURCE, RUST_SDK]),
        template(Js, Transform, IN_JS, &[JS_TRANSFORM, TRANSFORM, UPPER, JS, JS_SDK, WIT]),
        template(Js, Processor, IN_JS, &[JS_PROCESSOR, PROCESSOR, JS, JS_SDK, WIT]),
        template(Js, TimedProcessor, IN_JS, &[JS_TIMED, TIMED, JS, JS_SDK, WIT]),
        template(Js, AnsweringProcessor, IN_JS, &[JS_ANSWERING, PROCESSOR, JS, JS_SDK, WIT]),
        template(Js, Sink, IN_JS, &[JS_SINK, SINK, SINK_PARAMS, JS, JS_OUTSIDE, WIT, WIT_HTTP]),
        template(Js, Source, IN_JS, &[JS_SOURCE, SOURCE, JS, JS_OUTSIDE, WIT, WIT_HTTP]),
        template(Ts, Transform, IN_TS, &[TS_TRANSFORM, TRANSFORM, UPPER, TS, JS, JS_SDK, WIT]),
        template(Ts, Processor, IN_TS, &[TS_PROCESSOR, PROCESSOR, TS, JS, JS_SDK, WIT]),
        template(Ts, TimedProcessor, IN_TS, &[TS_TIMED, TIMED, TS, JS, JS_SDK, WIT]),
        template(Ts, AnsweringProcessor, IN_TS, &[TS_ANSWERING, PROCESSOR, TS, JS, JS_SDK, WIT]),
        template(Ts, Sink, IN_TS, &[TS_SINK, SINK, SINK_PARAMS, TS, JS, JS_OUTSIDE, WIT, WIT_HTTP]),
        template(Ts, Source, IN_TS, &[TS_SOURCE, SOURCE, TS, JS, JS_OUTSIDE, WIT, WIT_HTTP]),
        template(Python, Transform, PY, &[PYTHON_TRANSFORM, PYTHON, PYTHON_SDK, WIT]),
        template(Python, Processor, PY, &[PYTHON_PROCESSOR, PROCESSOR, PYTHON, PYTHON_SDK, WIT]),
        template(Python, TimedProcessor, PY, &[PYTHON_TIMED, TIMED, PYTHON, PYTHON_SDK, WIT]),
        template(Python, AnsweringProcessor, PY, &[PYTHON_ANSWERING, PROCESSOR, PYTHON, PYTHON_SDK, WIT]),
        template(Python, Sink, PY, &[PYTHON_SINK, SINK, SINK_PARAMS, PYTHON, PYTHON_OUTSIDE, WIT, WIT_HTTP]),
        template(Python, Source, PY, &[PYTHON_SOURCE, SOURCE, PYTHON, PYTHON_OUTSIDE, WIT, WIT_HTTP]),
        template(C, Transform, "src/transform.c", &[C_TRANSFORM, TRANSFORM, UPPER_IN, C_ALL, C_SDK, WIT]),
        template(C, Processor, IN_C, &[C_PROCESSOR, PROCESSOR, C_ALL, C_SDK, WIT]),
        template(C, TimedProcessor, IN_C, &[C_TIMED, TIMED, C_ALL, C_SDK, WIT]),
        template(C, AnsweringProcessor, IN_C, &[C_ANSWERING, PROCESSOR, C_ALL, C_SDK, WIT]),
        template(Go, Transform, "main.go", &[GO_TRANSFORM, TRANSFORM, UPPER_IN, GO, GO_SDK, WIT]),
        template(Go, Processor, "main.go", &[GO_PROCESSOR, PROCESSOR, GO, GO_SDK, WIT]),
        template(Go, TimedProcessor, "main.go", &[GO_TIMED, TIMED, GO, GO_SDK, WIT]),
        template(Go, AnsweringProcessor, "main.go", &[GO_ANSWERING, PROCESSOR, GO, GO_SDK, WIT]),
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
