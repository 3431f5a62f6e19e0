//! What was built: the same words in the log, on the command line and over HTTP.

/// The release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, when whoever built it said so with `MILLSTREAM_COMMIT`. Read by no build script: a clone without git builds
/// the same, and a commit alone compiles nothing again.
pub const COMMIT: Option<&str> = option_env!("MILLSTREAM_COMMIT");

/// Such as `x86_64-linux`.
pub fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
