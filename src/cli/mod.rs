//! Floor 8: the command line. Apart from `serve`, the hidden compiler child and what works on a developer's own files
//! (`module new`, `build`, `test`) it is a thin client of the public HTTP interface: nothing is possible only from here.
//! The only code that prints. Data goes to stdout, everything else to stderr.
#![expect(clippy::print_stderr, reason = "this is the module that talks to people")]

mod args;
mod client;
mod compile_module;
mod consume;
mod deploy;
mod deployment;
mod dev;
mod events;
mod failure;
#[cfg(test)]
mod fake;
mod golden;
mod group;
mod hints;
mod lifecycle;
mod live;
mod module;
mod new_module;
mod output;
mod position;
mod produce;
mod project;
mod rehearsal;
mod run;
mod serve;
mod session;
mod shadow;
mod state;
mod status;
mod template;
mod toolchain;
mod topic;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::config::env::Vars;
use args::{Cli, Command};
use failure::Failure;
use session::Session;

/// Parses the command line, does what it says, and reports. The exit code is 0, or as `failure` lists.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let vars = Vars::of_process();
    let verbose = cli.global.verbose > 0;
    let color = session::color(cli.global.color, &vars).unwrap_or_else(|| std::io::stderr().is_terminal());
    match dispatch(cli, vars) {
        Ok(code) => code,
        Err(failure) => {
            if let Some(text) = failure.report(verbose) {
                let text =
                    if std::io::stderr().is_terminal() { output::harmless(&text) } else { text.into() };
                eprint!(
                    "{}",
                    if color { text.replacen("error:", "\x1b[1;31merror:\x1b[0m", 1).into() } else { text }
                );
            }
            failure.exit_code()
        }
    }
}

fn dispatch(cli: Cli, vars: Vars) -> Result<ExitCode, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Serve(args) => return serve::run(args, vars, &global),
        Command::CompileModule(args) => return compile_module::run(&args),
        _ => {}
    }

    let session = Session::open(&global, &vars)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::local("cannot start the runtime", e))?;
    runtime.block_on(async {
        match command {
            Command::Topic(args) => topic::run(&session, args).await,
            Command::Produce(args) => produce::run(&session, args).await,
            Command::Consume(args) => consume::run(&session, args).await,
            Command::Tail(args) => consume::run(&session, args.into()).await,
            Command::Group(args) => group::run(&session, args).await,
            Command::Module(args) => module::run(&session, args).await,
            Command::Dev(args) => dev::run(&session, args).await,
            Command::Deploy(args) => deploy::run(&session, args).await,
            Command::Deployment(args) => deployment::run(&session, args).await,
            Command::State(args) => state::run(&session, args).await,
            Command::Events(args) => events::run(&session, args).await,
            Command::Status(args) => status::run(&session, args).await,
            Command::Version => status::version(&session),
            Command::Serve(_) | Command::CompileModule(_) => Ok(()),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
