//! Compiled components on disk: a cache that can be thrown away. A file is wasmtime's serialized code and a trailer that
//! says whether the file is whole:
//!
//! ```text
//! code | 8 magic "MSTRWASM" | 8 length of the code | 8 CPU nanoseconds of the compilation | 8 CRC-64/NVME of all before
//! ```
//!
//! Numbers are little endian. Loading runs what is in the file, so only files that this server wrote are ever given to
//! `load`. This file, `entries` and `runtime/slices` are the only ones with unsafe code.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wasmtime::component::Component;

use super::engine::{self, Engine};
use crate::model::module::Digest;
use crate::runtime::clock;

const MAGIC: &[u8; 8] = b"MSTRWASM";
const TRAILER_LEN: usize = 32;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// cannot be read
    #[error("compiled module {}: {cause}", path.display())]
    Io {
        /// the file
        path: PathBuf,
        /// from the system
        cause: io::Error,
    },
    /// cut short, or changed since it was written
    #[error("compiled module {} is damaged: {what}", path.display())]
    Damaged {
        /// the file
        path: PathBuf,
        /// what does not fit
        what: &'static str,
    },
    /// whole, but the engine refuses it
    #[error("compiled module {} does not fit this server: {cause}", path.display())]
    Refused {
        /// the file
        path: PathBuf,
        /// the engine's words
        cause: String,
    },
}

/// Why nothing was compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// a file that cannot be read or written
    #[error("{}: {cause}", path.display())]
    Io {
        /// the file
        path: PathBuf,
        /// from the system
        cause: io::Error,
    },
    /// the compiler refuses the component
    #[error("{0}")]
    Compiler(String),
}

/// What an artifact says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// CPU time of its compilation
    pub compile_cpu: Duration,
    /// bytes of machine code and its tables
    pub size: u64,
}

/// File name for a module's compiled form: it changes with the engine's version, its settings and the CPU's features, so
/// that a file of another kind is simply not found.
pub fn file_name(engine: &Engine, digest: &Digest) -> String {
    let mut hasher = DefaultHasher::new();
    engine.inner.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}.cwasm", digest.hex(), hasher.finish())
}

/// Compiles the component in the file `component` into the file `out`, which appears whole or not at all. Meant for a
/// process of its own: it cannot be interrupted.
pub fn compile_file(component: &Path, out: &Path) -> Result<(), CompileError> {
    let bytes =
        fs::read(component).map_err(|cause| CompileError::Io { path: component.to_owned(), cause })?;
    let compiler = |e: wasmtime::Error| CompileError::Compiler(format!("{e:#}"));
    let engine = wasmtime::Engine::new(&engine::config()).map_err(compiler)?;

    let began = clock::process_cpu();
    let code = engine.precompile_component(&bytes).map_err(compiler)?;
    let cpu = clock::process_cpu().saturating_sub(began);

    write_whole(out, &code, cpu).map_err(|cause| CompileError::Io { path: out.to_owned(), cause })
}

fn write_whole(out: &Path, code: &[u8], cpu: Duration) -> io::Result<()> {
    let mut trailer = Vec::with_capacity(TRAILER_LEN);
    trailer.extend_from_slice(MAGIC);
    trailer.extend_from_slice(&(code.len() as u64).to_le_bytes());
    trailer.extend_from_slice(&u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX).to_le_bytes());
    let mut sum = checksum();
    sum.update(code);
    sum.update(&trailer);
    trailer.extend_from_slice(&sum.finalize().to_le_bytes());

    // No sync: the checksum tells a torn file, and a lost one is compiled again.
    let partial = out.with_extension(format!("{}.partial", std::process::id()));
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(code)?;
        file.write_all(&trailer)
    });
    let published = written.and_then(|()| fs::rename(&partial, out));
    if published.is_err() {
        // What is left over is dropped with the cache.
        let _ = fs::remove_file(&partial);
    }
    published
}

/// Loads a file that [`compile_file`] has written for this engine.
pub(super) fn load(engine: &wasmtime::Engine, path: &Path) -> Result<(Component, Stamp), ArtifactError> {
    let stamp = verify(path)?;
    // SAFETY: `deserialize_file` needs a file that wasmtime has serialized and that nobody changes while it is mapped.
    // The file lies in the server's own cache directory, which only the server's user can write (`registry` makes it so);
    // it appeared there by `compile_file`'s rename, is never written again, and its checksum was right a moment ago.
    // That it is of this wasmtime version and these settings is checked by wasmtime itself.
    #[expect(unsafe_code, reason = "running compiled code is what this file is for")]
    let component = unsafe { Component::deserialize_file(engine, path) };
    let component =
        component.map_err(|e| ArtifactError::Refused { path: path.to_owned(), cause: format!("{e:#}") })?;
    Ok((component, stamp))
}

/// Reads the whole file once: 1 ms for Python's 34 MB.
fn verify(path: &Path) -> Result<Stamp, ArtifactError> {
    let io = |cause| ArtifactError::Io { path: path.to_owned(), cause };
    let damaged = |what| ArtifactError::Damaged { path: path.to_owned(), what };

    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let code_len = size.checked_sub(TRAILER_LEN as u64).ok_or_else(|| damaged("it is too short"))?;

    let mut sum = checksum();
    let mut buffer = vec![0; 1 << 20];
    let mut code = Read::by_ref(&mut file).take(code_len);
    loop {
        match code.read(&mut buffer).map_err(io)? {
            0 => break,
            n => sum.update(&buffer[..n]),
        }
    }
    let mut trailer = [0; TRAILER_LEN];
    file.read_exact(&mut trailer).map_err(io)?;
    sum.update(&trailer[..24]);

    let number = |at: usize| trailer[at..at + 8].iter().rev().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    if &trailer[..8] != MAGIC {
        return Err(damaged("its end is missing"));
    }
    if number(8) != code_len || number(24) != sum.finalize() {
        return Err(damaged("its checksum is wrong"));
    }
    Ok(Stamp { compile_cpu: Duration::from_nanos(number(16)), size: code_len })
}

fn checksum() -> crc_fast::Digest {
    crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme)
}
