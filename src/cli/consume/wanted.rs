//! Which records are read, and through what.

use clap::{Args, ValueEnum};

use crate::cli::client::Call;
use crate::cli::topic::pair;

/// Which records; the server looks for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(super) struct Filter {
    /// Only records with this key
    #[arg(short, long)]
    pub(super) key: Option<String>,
    /// Only records with this header; may be repeated for other names
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) headers: Vec<(String, String)>,
    /// Only records whose value holds this text
    #[arg(long, value_name = "TEXT")]
    pub(super) contains: Option<String>,
}

impl Filter {
    pub(super) fn is_open(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn apply(&self, call: Call) -> Call {
        let call = call.query_some("key", self.key.as_ref()).query_some("contains", self.contains.as_ref());
        self.headers
            .iter()
            .fold(call, |call, (name, value)| call.named_query(format!("header.{name}"), value))
    }
}

/// A transform on the way to this reader; the server runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(super) struct Through {
    /// Read through a transform, such as redact-json@1.0.0; nothing is stored
    #[arg(long, value_name = "MODULE")]
    apply: Option<String>,
    /// A parameter of the transform; may be repeated for other names
    #[arg(short = 'e', long = "param", value_name = "NAME=VALUE", value_parser = pair, requires = "apply")]
    params: Vec<(String, String)>,
    /// What becomes of a record that the transform fails on or rejects [default: stop]
    #[arg(long, value_enum, requires = "apply")]
    on_error: Option<OnError>,
}

/// Of a record that a transform fails on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// reading stops there and says why
    Stop,
    /// it is left out
    Skip,
}

impl Through {
    pub(super) fn ask(&self, call: Call) -> Call {
        let on_error = self.on_error.map(|policy| match policy {
            OnError::Stop => "stop".to_owned(),
            OnError::Skip => "skip".to_owned(),
        });
        let call = call.query_some("apply", self.apply.as_ref()).query_some("on_error", on_error.as_ref());
        self.params.iter().fold(call, |call, (name, value)| call.named_query(format!("param.{name}"), value))
    }
}
