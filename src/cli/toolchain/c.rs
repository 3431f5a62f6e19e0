//! C: any clang that has WASI's C library builds a core module, or Zig, which brings both; the world's WIT is added to it.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{absolute, answer, finish, output, tool, with_world};
use crate::cli::failure::Failure;
use crate::cli::project::Project;
use crate::cli::session::Session;

/// Worlds that `sdk/millstream.c` speaks, with the macro that chooses each.
const WORLDS: [(&str, &str); 5] = [
    ("packed-transform", "-DMS_PACKED_TRANSFORM"),
    ("packed-processor", "-DMS_PACKED_PROCESSOR"),
    ("timed-packed-processor", "-DMS_TIMED_PACKED_PROCESSOR"),
    ("answering-packed-processor", "-DMS_ANSWERING_PACKED_PROCESSOR"),
    ("timed-answering-packed-processor", "-DMS_TIMED_ANSWERING_PACKED_PROCESSOR"),
];
/// Flags that editors with clangd read too, one on a line.
const FLAGS: &str = "compile_flags.txt";
/// Where distributions put WASI's C library: a folder that is there, and the sysroot it belongs to.
const SYSROOTS: [(&str, &str); 4] = [
    ("/usr/include/wasm32-wasi", "/usr"),
    ("/usr/wasm32-wasi", "/usr/wasm32-wasi"),
    ("/opt/homebrew/opt/wasi-libc/share/wasi-sysroot", "/opt/homebrew/opt/wasi-libc/share/wasi-sysroot"),
    ("/usr/share/wasi-sysroot", "/usr/share/wasi-sysroot"),
];
/// Where wasi-sdk says that it should be.
const WASI_SDK: &str = "/opt/wasi-sdk/bin/clang";

/// What is told to somebody who has no compiler for this.
const MISSING: &str = "no C compiler for WebAssembly is there\nhint: one of\n  \
    python3 -m pip install ziglang                                   (anywhere, 100 MB)\n  \
    apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32    (Debian 12; of other versions, clang's number)\n  \
    dnf install clang lld wasi-libc-static compiler-rt-wasm32        (Fedora)\n  \
    wasi-sdk in /opt/wasi-sdk                                        (https://github.com/WebAssembly/wasi-sdk)";

pub(super) async fn build(session: &Session, project: &Project) -> Result<PathBuf, Failure> {
    let world = &project.entry.world;
    let Some((_, chosen)) = WORLDS.iter().find(|(name, _)| name == world) else {
        let names = WORLDS.map(|(name, _)| name).join(", ");
        return Err(Failure::Local(format!("millstream.toml: `{world}` is none of the worlds {names}")));
    };
    let mut sources = Vec::new();
    for folder in ["src", "sdk"] {
        sources_below(project, Path::new(folder), &mut sources)?;
    }

    let out = output(project)?;
    let mut command = compiler(session, project).await?;
    command.args(["-mexec-model=reactor", "-O2", "-Wl,--strip-debug", chosen]);
    command.args(flags(project)?).args(sources).arg("-o").arg(absolute(&out)?);
    finish(command, MISSING).await?;
    with_world(&out, world)?;
    Ok(out)
}

/// The first compiler that can do it.
async fn compiler(session: &Session, project: &Project) -> Result<Command, Failure> {
    if Path::new(WASI_SDK).is_file() {
        let mut clang = tool(project, WASI_SDK);
        clang.arg("--target=wasm32-wasip1");
        return Ok(clang);
    }
    if let Some((_, sysroot)) = SYSROOTS.iter().find(|(there, _)| Path::new(there).is_dir())
        && has_runtime(project).await
    {
        let mut clang = tool(project, "clang");
        clang.args(["--target=wasm32-wasi", "--sysroot", sysroot]);
        return Ok(clang);
    }
    for zig in [&["zig"][..], &["python3", "-m", "ziglang"]] {
        let command = || {
            let mut command = tool(project, zig[0]);
            command.args(&zig[1..]);
            command
        };
        let mut version = command();
        version.arg("version");
        if answer(version).await.is_some() {
            session
                .out
                .hint(format!("compiling with {} (its first build takes half a minute)", zig.join(" ")));
            let mut cc = command();
            cc.args(["cc", "-target", "wasm32-wasi"]);
            return Ok(cc);
        }
    }
    Err(Failure::Local(MISSING.to_owned()))
}

/// Whether clang is there, with its linker and its own library for this target: packages of their own.
async fn has_runtime(project: &Project) -> bool {
    let ask = |question: &str| {
        let mut clang = tool(project, "clang");
        clang.args(["--target=wasm32-wasi", question]);
        answer(clang)
    };
    let library = ask("-print-libgcc-file-name").await;
    let linker = ask("-print-prog-name=wasm-ld").await;
    // What it does not find it names without a folder.
    let is_there = |path: Option<String>| path.is_some_and(|path| Path::new(&path).is_file());
    is_there(library) && is_there(linker)
}

/// Every C file below a folder of the project, in an order that does not change.
fn sources_below(project: &Project, folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::local(&format!("cannot read {}/", folder.display()), e);
    let entries = std::fs::read_dir(project.folder.join(folder)).map_err(failed)?;
    let mut names = entries
        .map(|entry| entry.map(|entry| folder.join(entry.file_name())))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    names.sort();
    for name in names {
        if project.folder.join(&name).is_dir() {
            sources_below(project, &name, found)?;
        } else if name.extension().is_some_and(|extension| extension == "c") {
            found.push(name);
        }
    }
    Ok(())
}

/// The project's own flags. The target is the build's business: compilers name it differently.
fn flags(project: &Project) -> Result<Vec<String>, Failure> {
    let text = match std::fs::read_to_string(project.path(FLAGS)) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => "-Isdk".to_owned(),
        Err(e) => return Err(Failure::local(&format!("cannot read {FLAGS}"), e)),
    };
    let flags = text.lines().map(str::trim);
    Ok(flags.filter(|flag| !flag.is_empty() && !flag.starts_with("--target")).map(str::to_owned).collect())
}
