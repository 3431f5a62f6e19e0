//! The command tree and the flags that every command has. Each command's own arguments stand with the command.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::output::Format;
use super::{
    compile_module, consume, deploy, deployment, dev, events, group, module, produce, serve, state, status,
    topic,
};
use crate::model::duration::parse_duration;

/// Event streams with the code that works on them.
#[derive(Parser)]
#[command(name = "millstream", version, disable_help_subcommand = true)]
#[command(
    after_help = "Begin with `millstream serve`; in another terminal `millstream topic create clicks`.\n\
    Exit codes: 0 done, 1 failure, 2 usage, 3 not found, 4 conflict, 5 not allowed, 6 unreachable or timed out, \
    7 refused as invalid."
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Flags of every command.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Address of the server [env: MILLSTREAM_URL] [default: http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) url: Option<String>,
    /// table, json, yaml or ndjson; for consume also raw or a format string such as '%k %v\n'
    #[arg(short, long, global = true, value_name = "FORMAT", value_parser = Format::parse)]
    pub(super) output: Option<Format>,
    /// No hints, no progress
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// More about errors and requests
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// Do not ask before deleting
    #[arg(short, long, global = true)]
    pub(super) yes: bool,
    /// How long to wait for an answer of the server, such as 500ms or 2m; a bare number counts milliseconds
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub(super) timeout: Duration,
    /// Colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(super) color: Color,
}

/// When to colour.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Topics: create, list, describe, alter, truncate, delete
    Topic(topic::Topic),
    /// Send records: lines of stdin or of a file
    Produce(produce::Produce),
    /// Read records
    Consume(consume::Consume),
    /// The last records and those that come: consume --from -10 --follow
    Tail(consume::Tail),
    /// Groups: list, describe, lag, reset, remove-member, delete
    Group(group::Group),
    /// Modules: new, build, test, run, push, list, inspect, wit, delete
    Module(module::Module),
    /// Run the module of a folder and swap it whenever a file is saved
    Dev(dev::Dev),
    /// Apply deploy.yaml
    Deploy(deploy::Deploy),
    /// Deployments: list, describe, logs, pause, resume, restart, rewind, upgrade, rollback, history, run, shadow, delete
    #[command(visible_alias = "dep")]
    Deployment(deployment::Deployment),
    /// What processors keep: stores, get, watch, scan, query
    State(state::State),
    /// What happens to topics, modules, deployments and groups, as it happens
    Events(events::Events),
    /// One screen: health, topics, deployments
    Status(status::Status),
    /// Version of this binary
    Version,
    /// Compiles one component; run by the server as a child with limits
    #[command(hide = true)]
    CompileModule(compile_module::CompileModule),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Lists of subcommands in help are written by hand: clap shows a command's first line only.
    #[test]
    fn help_names_every_subcommand_once() {
        let mut cli = Cli::command();
        cli.build();
        let groups = cli.get_subcommands().filter(|c| c.get_subcommands().count() > 1);
        for group in groups {
            let about = group.get_about().map(ToString::to_string).unwrap_or_default();
            let (_, listed) = about.split_once(": ").unwrap_or_default();
            let there: Vec<_> =
                group.get_subcommands().map(clap::Command::get_name).filter(|n| *n != "help").collect();
            let listed: Vec<_> = listed.split(", ").collect();
            assert_eq!(listed, there, "the doc comments of `{}`", group.get_name());
        }
    }

    #[test]
    fn global_flags_may_stand_after_the_command() {
        let cli =
            Cli::try_parse_from(["millstream", "dep", "list", "-o", "json", "--timeout", "2s"]).unwrap();
        assert_eq!(cli.global.timeout, Duration::from_secs(2));
        assert!(matches!(cli.global.output, Some(Format::Json)));
    }
}
