//! `millstream topic`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::Call;
use super::failure::Failure;
use super::output::{Column, at, count, plain, render_fields, render_table, size, thousands};
use super::position::Position;
use super::session::Session;

/// Topics: create, list, describe, alter, truncate, delete
#[derive(Args)]
pub(super) struct Topic {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a topic
    Create {
        /// 1 to 249 of a-z A-Z 0-9 . _ -
        name: String,
        /// Partitions; records of a key stay in one [default: 1]
        #[arg(short, long)]
        partitions: Option<u32>,
        /// A setting under Kafka's name, such as retention.ms=86400000; may be repeated
        #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = pair)]
        config: Vec<(String, String)>,
        /// Succeed when it is there already with these settings
        #[arg(long)]
        if_not_exists: bool,
    },
    /// All topics
    List {
        /// Only names that begin so
        #[arg(long)]
        prefix: Option<String>,
        /// Internal topics too
        #[arg(long)]
        internal: bool,
    },
    /// Partitions, settings, deployments of a topic
    Describe { name: String },
    /// Change settings, add partitions
    Alter {
        name: String,
        /// KEY=VALUE; may be repeated
        #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = pair)]
        config: Vec<(String, String)>,
        /// Return a setting to its default; may be repeated
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
        /// The new number of partitions; it can only grow
        #[arg(short, long)]
        partitions: Option<u32>,
        /// Only check
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete the oldest records of a topic
    Truncate {
        name: String,
        /// What lies before it goes: latest (everything), an offset (with --partition), -N (the last N of each partition
        /// stay), or a time: @1795346400000, 2026-11-22T12:40:00Z, -7d
        #[arg(long, value_name = "POSITION", value_parser = Position::parse, allow_hyphen_values = true)]
        before: Position,
        /// Only of this partition
        #[arg(short, long)]
        partition: Option<u32>,
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete topics with their records
    Delete {
        #[arg(required = true)]
        names: Vec<String>,
        /// Even while a deployment uses it
        #[arg(long)]
        force: bool,
    },
}

/// `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}`, expected KEY=VALUE"))?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

const COLUMNS: [Column; 6] = [
    ("NAME", |t| at(t, "/name")),
    ("PARTITIONS", partitions),
    ("RECORDS", |t| count(t, "/records")),
    ("BYTES", |t| size(t, "/bytes")),
    ("VIEW OF", shown),
    ("DEPLOYMENTS", |t| at(t, "/deployments")),
];

const PARTITION_COLUMNS: [Column; 5] = [
    ("PARTITION", |p| at(p, "/partition")),
    ("START", |p| at(p, "/log_start_offset")),
    ("END", |p| at(p, "/high_watermark")),
    ("RECORDS", |p| {
        let number = |pointer| p.pointer(pointer).and_then(Value::as_u64);
        let both = number("/high_watermark").zip(number("/log_start_offset"));
        both.map(|(end, start)| thousands(end.saturating_sub(start))).unwrap_or_default()
    }),
    ("BYTES", |p| size(p, "/bytes")),
];

const TRUNCATED_COLUMNS: [Column; 4] = [
    ("PARTITION", |p| at(p, "/partition")),
    ("DELETED", |p| count(p, "/deleted")),
    ("START", |p| at(p, "/log_start_offset")),
    ("END", |p| at(p, "/high_watermark")),
];

/// A number, or the length of the list that `describe` gives.
fn partitions(topic: &Value) -> String {
    match topic.get("partitions") {
        Some(Value::Array(list)) => list.len().to_string(),
        Some(other) => plain(other),
        None => String::new(),
    }
}

/// What a view shows, and through which code; empty for topics that hold records.
fn shown(topic: &Value) -> String {
    match at(topic, "/view/source") {
        none if none.is_empty() => none,
        source => format!("{source} through {}", at(topic, "/view/module")),
    }
}

pub(super) async fn run(session: &Session, args: Topic) -> Result<(), Failure> {
    match args.command {
        Command::Create { name, partitions, config, if_not_exists } => {
            let mut body = changes(&config, &[], partitions);
            let call = if if_not_exists {
                Call::put(&["v1", "topics", &name])
            } else {
                body["name"] = json!(name);
                Call::post(&["v1", "topics"])
            };
            let topic = session.client.json(call.json(&body)).await?;
            session.out.done(&topic, &format!("topic `{name}` is there"))
        }
        Command::List { prefix, internal } => {
            let call = || {
                Call::get(&["v1", "topics"])
                    .query_some("prefix", prefix.as_ref())
                    .query_if("internal", internal)
            };
            let topics = session.client.items(call, None).await?;
            session.out.list(&topics, &COLUMNS)
        }
        Command::Describe { name } => {
            let topic = session.client.json(Call::get(&["v1", "topics", &name])).await?;
            session.out.one(&topic, describe)
        }
        Command::Alter { name, config, unset, partitions, dry_run } => {
            if config.is_empty() && unset.is_empty() && partitions.is_none() {
                return Err(Failure::Usage(
                    "nothing to alter; give --config, --unset or --partitions".into(),
                ));
            }
            let call = Call::patch(&["v1", "topics", &name]).query_if("dry_run", dry_run);
            let topic = session.client.json(call.json(&changes(&config, &unset, partitions))).await?;
            let line = if dry_run { "would be altered" } else { "is altered" };
            session.out.done(&topic, &format!("topic `{name}` {line}"))
        }
        Command::Truncate { name, before, partition, dry_run } => {
            let body = truncation(&before, partition);
            let call = |dry_run| {
                Call::post(&["v1", "topics", &name, "truncate"]).query_if("dry_run", dry_run).json(&body)
            };
            if !dry_run {
                // What the server would refuse anyway is not asked about.
                session.client.json(call(true)).await?;
                session.confirm(&format!("delete the oldest records of topic `{name}`"))?;
            }
            let answer = session.client.json(call(dry_run)).await?;
            session.out.one(&answer, |answer| {
                let partitions = answer.get("partitions").and_then(Value::as_array);
                render_table(partitions.map_or(&[], Vec::as_slice), &TRUNCATED_COLUMNS)
            })
        }
        Command::Delete { names, force } => delete(session, &names, force).await,
    }
}

/// The members of a create or patch body. A null returns a setting to its default.
fn changes(config: &[(String, String)], unset: &[String], partitions: Option<u32>) -> Value {
    let mut body = Map::new();
    if let Some(partitions) = partitions {
        body.insert("partitions".into(), json!(partitions));
    }
    let mut settings: Map<String, Value> = config.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    settings.extend(unset.iter().map(|k| (k.clone(), Value::Null)));
    if !settings.is_empty() {
        body.insert("config".into(), Value::Object(settings));
    }
    Value::Object(body)
}

fn truncation(before: &Position, partition: Option<u32>) -> Value {
    let mut body = Map::new();
    let (key, value) = match before {
        Position::Earliest => ("offset", json!("earliest")),
        Position::Latest => ("offset", json!("latest")),
        Position::Offset(offset) => ("offset", json!(offset)),
        Position::Last(records) => ("offset", json!(format!("-{records}"))),
        Position::Time(time) => ("timestamp", json!(time)),
    };
    body.insert(key.into(), value);
    if let Some(partition) = partition {
        body.insert("partition".into(), json!(partition));
    }
    Value::Object(body)
}

async fn delete(session: &Session, names: &[String], force: bool) -> Result<(), Failure> {
    for name in names {
        let topic = session.client.json(Call::get(&["v1", "topics", name])).await?;
        let parts = partitions(&topic);
        session.confirm(&format!("delete topic `{name}` with {parts} partitions and all its records"))?;
        session.client.bytes(Call::delete(&["v1", "topics", name]).query_if("force", force)).await?;
        session.out.hint(format!("topic `{name}` is deleted"));
    }
    Ok(())
}

fn describe(topic: &Value) -> String {
    let config = topic.get("config").and_then(Value::as_object);
    let config = config.into_iter().flatten().map(|(key, value)| format!("{key}={}", plain(value)));
    let fields = [
        ("name", at(topic, "/name")),
        ("id", at(topic, "/id")),
        ("view of", shown(topic)),
        ("records", count(topic, "/records")),
        ("bytes", size(topic, "/bytes")),
        ("created", at(topic, "/created_at")),
        ("replication_factor", at(topic, "/replication_factor")),
        ("config", config.collect::<Vec<_>>().join(" ")),
        ("deployments", at(topic, "/deployments")),
    ];
    let partitions = topic.get("partitions").and_then(Value::as_array).cloned().unwrap_or_default();
    format!("{}\n{}", render_fields(&fields), render_table(&partitions, &PARTITION_COLUMNS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_settings_are_null_in_the_patch() {
        let config = [("retention.ms".to_owned(), "1".to_owned())];
        let body = changes(&config, &["durability".to_owned()], Some(4));
        assert_eq!(body, json!({"partitions": 4, "config": {"retention.ms": "1", "durability": null}}));
        assert_eq!(changes(&[], &[], None), json!({}));
    }

    #[test]
    fn a_truncation_names_a_position() {
        assert_eq!(truncation(&Position::Offset(7), Some(1)), json!({"offset": 7, "partition": 1}));
        assert_eq!(truncation(&Position::Last(10), None), json!({"offset": "-10"}));
        assert_eq!(truncation(&Position::Time("-7d".into()), None), json!({"timestamp": "-7d"}));
    }

    #[test]
    fn a_view_is_marked_as_one() {
        let view = json!({ "name": "clean", "view": { "source": "clicks", "module": "redact@1.0.0" } });
        let table = render_table(&[view.clone(), json!({ "name": "clicks" })], &COLUMNS);
        assert!(table.contains("clicks through redact@1.0.0"), "{table}");
        assert!(describe(&view).contains("\nview of  clicks through redact@1.0.0\n"), "{}", describe(&view));
        assert_eq!(shown(&json!({ "name": "clicks", "view": null })), "");
    }

    #[test]
    fn a_description_shows_fields_then_partitions() {
        let text = describe(&json!({
            "name": "clicks", "config": {"durability": "os"},
            "partitions": [{"partition": 0, "log_start_offset": 5, "high_watermark": 1205, "bytes": 10}]
        }));
        let expected = "name    clicks\nconfig  durability=os\n\n\
                        PARTITION  START  END   RECORDS  BYTES\n0          5      1205  1,200    10 B\n";
        assert_eq!(text, expected);
    }
}
