//! The compiling child: one component to machine code, with limits on memory and CPU, at low priority. The server starts
//! it; what a compile bomb can do ends with this process.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;
use crate::registry::compile::limit_self;
use crate::runtime::nudges;
use crate::telemetry::chain;

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
    limit_self(args.cpu).map_err(|e| Failure::local("cannot limit this process", e))?;
    crate::wasm::artifact::compile_file(&args.component, &args.out).map_err(|e| Failure::Local(chain(&e)))?;
    Ok(ExitCode::SUCCESS)
}
