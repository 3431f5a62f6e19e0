//! What the registry's operations can say.

use std::io;
use std::path::PathBuf;

use crate::model::ModuleName;
use crate::model::module::{Digest, Version};
use crate::storage::{CommitError, ReadError};
use crate::wasm;

/// The registry cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// the cache directory
    #[error("directory {}: {cause}", path.display())]
    Directory {
        /// which one
        path: PathBuf,
        /// from the system
        cause: io::Error,
    },
    /// the list of modules
    #[error(transparent)]
    Storage(#[from] ReadError),
}

/// An upload that was not stored.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// not a component for this server
    #[error(transparent)]
    Invalid(#[from] wasm::Invalid),
    /// larger than any module may be
    #[error("module of {found} bytes, at most {limit} are allowed")]
    TooLarge {
        /// bytes uploaded
        found: usize,
        /// bytes allowed
        limit: usize,
    },
    /// versions are immutable
    #[error(
        "version {version} exists with other bytes ({digest}); versions never change, upload under another"
    )]
    VersionExists {
        /// the version asked for
        version: Version,
        /// what it holds
        digest: Digest,
    },
    /// the node holds as many as it may
    #[error("{limit} versions of modules exist, which is the most that one node holds")]
    TooMany {
        /// the bound
        limit: usize,
    },
    /// the compiler took too long
    #[error("compilation took more than {seconds} s")]
    CompileTimeout {
        /// the bound
        seconds: u64,
    },
    /// the compiler refused, or ran out of memory
    #[error("compilation failed: {detail}")]
    CompileFailed {
        /// the compiler's words
        detail: String,
    },
    /// the compiler cannot work: not the module's fault
    #[error("the server cannot compile: {detail}")]
    Compiler {
        /// what went wrong
        detail: String,
    },
    /// compiled, but not to be linked; or what was compiled cannot be read
    #[error(transparent)]
    Load(#[from] wasm::LoadError),
    /// too many compilations wait already; retry
    #[error("too many modules wait to be compiled")]
    Busy,
    /// a file of the cache
    #[error("directory of compiled modules: {0}")]
    Cache(io::Error),
    /// the log refused
    #[error(transparent)]
    Storage(#[from] CommitError),
}

/// A reference that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// no version of that name at all
    #[error("module `{module}` does not exist{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Module {
        /// as asked for
        module: ModuleName,
        /// a name that is near
        suggestion: Option<String>,
    },
    /// other versions exist
    #[error("module `{module}` has no version {asked}; it has {}", found.iter().map(Version::to_string).collect::<Vec<_>>().join(", "))]
    Version {
        /// the module
        module: ModuleName,
        /// as asked for
        asked: String,
        /// oldest first
        found: Vec<Version>,
    },
    /// a digest prefix that fits several
    #[error("{asked} fits {count} versions of module `{module}` with different bytes; give more digits")]
    Ambiguous {
        /// the module
        module: ModuleName,
        /// as asked for
        asked: String,
        /// how many fit
        count: usize,
    },
}

/// A module that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// no version has this digest
    #[error("no module has the digest {digest}")]
    Unknown {
        /// as asked for
        digest: Digest,
    },
    /// its code cannot be made to run
    #[error("module {digest}: {cause}")]
    Unusable {
        /// the module
        digest: Digest,
        /// why
        cause: String,
    },
    /// it has to be compiled again, and too many wait; retry
    #[error("module {digest}: too many modules wait to be compiled")]
    Busy {
        /// the module
        digest: Digest,
    },
    /// its bytes cannot be read
    #[error(transparent)]
    Storage(#[from] ReadError),
}

/// Nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// there is nothing of that name
    #[error(transparent)]
    Unknown(#[from] ResolveError),
    /// the log refused
    #[error(transparent)]
    Storage(#[from] CommitError),
}
