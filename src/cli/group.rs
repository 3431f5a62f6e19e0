//! `millstream group`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::Call;
use super::failure::Failure;
use super::output::{Column, at, count, plain, render_fields, render_table};
use super::position::Position;
use super::session::Session;

/// Groups: list, describe, lag, reset, remove-member, delete
#[derive(Args)]
pub(super) struct Group {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All groups, those of Kafka's clients too, and the position of each processor
    List {
        /// Only names that begin so
        #[arg(long)]
        prefix: Option<String>,
    },
    /// Members, assignments, committed offsets and lag of a group
    Describe { group: String },
    /// How far a group is behind, by partition
    Lag { group: String },
    /// Move a group's offsets
    #[command(visible_alias = "seek")]
    Reset {
        group: String,
        /// earliest, latest, an offset, -N or +N (so many records back or on from where it is), or a time:
        /// @1795346400000, 2026-11-22T12:40:00Z, -7d
        #[arg(long, value_name = "POSITION", allow_hyphen_values = true, value_parser = target)]
        to: Value,
        /// Only this topic [default: every partition that has a committed offset]
        #[arg(short, long)]
        topic: Option<String>,
        /// Only this partition of the topic; may be repeated
        #[arg(short, long = "partition", value_name = "PARTITION", requires = "topic")]
        partitions: Vec<u32>,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        /// Remove the members first
        #[arg(long)]
        force: bool,
    },
    /// Remove a member from a group; its partitions go to the others
    RemoveMember { group: String, member: String },
    /// Delete groups with their committed offsets
    Delete {
        #[arg(required = true)]
        groups: Vec<String>,
    },
}

const COLUMNS: [Column; 6] = [
    ("GROUP", |g| at(g, "/id")),
    ("STATE", |g| at(g, "/state")),
    ("PROTOCOL", |g| at(g, "/protocol_type")),
    ("MEMBERS", |g| count(g, "/members")),
    ("LAG", |g| count(g, "/total_lag")),
    ("DEPLOYMENT", |g| at(g, "/deployment")),
];

const OFFSET_COLUMNS: [Column; 6] = [
    ("TOPIC", |o| at(o, "/topic")),
    ("PARTITION", |o| at(o, "/partition")),
    ("COMMITTED", |o| at(o, "/committed")),
    ("END", |o| at(o, "/high_watermark")),
    ("LAG", |o| count(o, "/lag")),
    ("MEMBER", |o| at(o, "/member")),
];

const MEMBER_COLUMNS: [Column; 4] = [
    ("MEMBER", |m| at(m, "/id")),
    ("CLIENT", |m| at(m, "/client_id")),
    ("HOST", |m| at(m, "/client_host")),
    ("ASSIGNMENT", assignment),
];

const RESET_COLUMNS: [Column; 5] = [
    ("TOPIC", |p| at(p, "/topic")),
    ("PARTITION", |p| at(p, "/partition")),
    ("BEFORE", |p| at(p, "/before")),
    ("OFFSET", |p| at(p, "/offset")),
    ("LAG", |p| count(p, "/lag")),
];

/// `orders 0, 1; clicks 3`.
fn assignment(member: &Value) -> String {
    let topics = member.get("assignment").and_then(Value::as_array).into_iter().flatten();
    let text = topics.map(|topic| format!("{} {}", at(topic, "/topic"), at(topic, "/partitions")));
    text.collect::<Vec<_>>().join("; ")
}

pub(super) async fn run(session: &Session, args: Group) -> Result<(), Failure> {
    match args.command {
        Command::List { prefix } => {
            let call = || Call::get(&["v1", "groups"]).query_some("prefix", prefix.as_ref());
            let groups = session.client.items(call, None).await?;
            session.out.list(&groups, &COLUMNS)
        }
        Command::Describe { group } => {
            let group = session.client.json(Call::get(&["v1", "groups", &group])).await?;
            session.out.one(&group, describe)
        }
        Command::Lag { group } => {
            let group = session.client.json(Call::get(&["v1", "groups", &group])).await?;
            session.out.list(&list(&group, "offsets"), &OFFSET_COLUMNS)
        }
        Command::Reset { group, to, topic, partitions, dry_run, force } => {
            let mut body = Map::from_iter([("to".to_owned(), to)]);
            if let Some(topic) = topic {
                body.insert("topic".into(), json!(topic));
            }
            if !partitions.is_empty() {
                body.insert("partitions".into(), json!(partitions));
            }
            if force && !dry_run {
                session.confirm(&format!("remove the members of group `{group}` and move its offsets"))?;
            }
            let call = Call::patch(&["v1", "groups", &group, "offsets"])
                .query_if("dry_run", dry_run)
                .query_if("force", force);
            let answer = session.client.json(call.json(&Value::Object(body))).await?;
            if let Some(why) = nothing_reset(&answer, &group) {
                session.out.hint(why);
            }
            session.out.one(&answer, |answer| render_table(&list(answer, "partitions"), &RESET_COLUMNS))
        }
        Command::RemoveMember { group, member } => {
            session.client.bytes(Call::delete(&["v1", "groups", &group, "members", &member])).await?;
            session.out.hint(format!("`{member}` is no member of group `{group}` any more"));
            Ok(())
        }
        Command::Delete { groups } => {
            for group in &groups {
                session.confirm(&format!("delete group `{group}` with its committed offsets"))?;
                session.client.bytes(Call::delete(&["v1", "groups", group])).await?;
                session.out.hint(format!("group `{group}` is deleted"));
            }
            Ok(())
        }
    }
}

fn list(value: &Value, name: &str) -> Vec<Value> {
    value.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// What to say of a reset that moved nothing.
fn nothing_reset(answer: &Value, group: &str) -> Option<String> {
    list(answer, "partitions").is_empty().then(|| {
        format!("nothing was reset: group `{group}` has committed no offsets; --topic NAME names a topic to begin with")
    })
}

/// The `to` of a reset. Times are left to the server.
fn target(text: &str) -> Result<Value, String> {
    if let Some(on) = text.strip_prefix('+') {
        return on.parse::<i64>().map(|n| json!({ "shift_by": n })).map_err(|e| format!("`{text}`: {e}"));
    }
    Ok(match Position::parse(text)? {
        Position::Earliest => json!("earliest"),
        Position::Latest => json!("latest"),
        Position::Offset(offset) => json!({ "offset": offset }),
        Position::Last(records) => json!({ "shift_by": i64::try_from(records).map_or(i64::MIN, |n| -n) }),
        Position::Time(time) => json!({ "timestamp": time }),
    })
}

fn describe(group: &Value) -> String {
    let fields = [
        ("group", at(group, "/id")),
        ("state", at(group, "/state")),
        ("protocol", [at(group, "/protocol_type"), at(group, "/protocol")].join(" ").trim().to_owned()),
        ("generation", at(group, "/generation")),
        ("total lag", group.get("total_lag").map(plain).unwrap_or_default()),
        ("deployment", at(group, "/deployment")),
    ];
    let mut text = render_fields(&fields);
    for (items, columns) in
        [(list(group, "members"), &MEMBER_COLUMNS[..]), (list(group, "offsets"), &OFFSET_COLUMNS[..])]
    {
        if !items.is_empty() {
            text.push('\n');
            text.push_str(&render_table(&items, columns));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_goes_to_ends_offsets_times_and_records_back_or_on() {
        assert_eq!(target("latest"), Ok(json!("latest")));
        assert_eq!(target("12"), Ok(json!({ "offset": 12 })));
        assert_eq!(target("-3"), Ok(json!({ "shift_by": -3 })));
        assert_eq!(target("+3"), Ok(json!({ "shift_by": 3 })));
        assert_eq!(target("-7d"), Ok(json!({ "timestamp": "-7d" })));
        assert!(target("whenever").is_err());
    }

    #[test]
    fn a_reset_of_a_group_without_offsets_says_so() {
        assert!(nothing_reset(&json!({ "partitions": [] }), "g").unwrap().contains("group `g`"));
        assert_eq!(nothing_reset(&json!({ "partitions": [{ "topic": "a" }] }), "g"), None);
    }

    #[test]
    fn a_description_shows_fields_members_and_offsets() {
        let text = describe(&json!({
            "id": "g", "state": "Stable", "protocol_type": "consumer", "protocol": "range", "generation": 2,
            "total_lag": 1200,
            "members": [{ "id": "m-1", "client_id": "http", "client_host": "/127.0.0.1",
                "assignment": [{ "topic": "a", "partitions": [0, 1] }] }],
            "offsets": [{ "topic": "a", "partition": 0, "committed": 5, "high_watermark": 1205, "lag": 1200,
                "member": "m-1" }]
        }));
        let expected = "group       g\nstate       Stable\nprotocol    consumer range\ngeneration  2\ntotal lag   1200\n\n\
                        MEMBER  CLIENT  HOST        ASSIGNMENT\nm-1     http    /127.0.0.1  a 0, 1\n\n\
                        TOPIC  PARTITION  COMMITTED  END   LAG    MEMBER\na      0          5          1205  1,200  m-1\n";
        assert_eq!(text, expected);
    }
}
