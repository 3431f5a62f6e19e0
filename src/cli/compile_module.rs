//! The compiling child: one component to machine code, with limits on memory and CPU, at low priority. The server starts
//! it; what a compile bomb can do ends with this process.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;
use crate::registry::compile::{SERVERS_FAULT, limit_self};
use crate::runtime::nudges;
use crate::telemetry::chain;
use crate::wasm::artifact::{CompileError, compile_file};

/// Compiles one component
#[derive(Args)]
pub(super) struct CompileModule {
    /// The checked component
    #[arg(long)]
    component: PathBuf,
    /// Where the artifact goes; written whole or not at all
    #[arg(long)]
    out: PathBuf,
    /// CPU time that it may take, in seconds
    #[arg(long)]
    cpu: u64,
}

/// Sets the limits, then compiles.
pub(super) fn run(args: &CompileModule) -> Result<ExitCode, Failure> {
    // Its threads keep the priority that this one gives up.
    let _nudges = nudges::start();
    if let Err(error) = limit_self(args.cpu) {
        return Ok(servers_fault("cannot limit this process: ", &error));
    }
    ended(compile_file(&args.component, &args.out))
}

fn ended(compiled: Result<(), CompileError>) -> Result<ExitCode, Failure> {
    match compiled {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error @ CompileError::Io { .. }) => Ok(servers_fault("", &error)),
        Err(error) => Err(Failure::Local(chain(&error))),
    }
}

/// Tells the server that the component is not to blame.
fn servers_fault(what: &str, error: &dyn Error) -> ExitCode {
    // The exit code says the most of it.
    let _ = writeln!(std::io::stderr(), "{what}{}", chain(error));
    ExitCode::from(SERVERS_FAULT)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn files_that_cannot_be_read_or_written_are_told_from_components_that_do_not_compile() {
        let dir = tempfile::tempdir().unwrap();
        let (component, out) = (dir.path().join("component"), dir.path().join("none/out"));
        let compiled =
            |component: &Path, out: &Path| ended(compile_file(component, out)).map_err(|f| f.code());
        assert_eq!(compiled(&component, &out), Ok(ExitCode::from(SERVERS_FAULT)), "cannot be read");

        std::fs::write(&component, "no component").unwrap();
        assert_eq!(compiled(&component, &out), Err(1), "does not compile");
        // The shortest component.
        std::fs::write(&component, b"\0asm\x0d\0\x01\0").unwrap();
        assert_eq!(compiled(&component, &out), Ok(ExitCode::from(SERVERS_FAULT)), "cannot be written");
        assert_eq!(compiled(&component, &dir.path().join("out")), Ok(ExitCode::SUCCESS));
    }
}
