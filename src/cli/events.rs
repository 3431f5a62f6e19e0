//! `millstream events`: what happens, a line each.

use clap::Args;
use serde_json::Value;

use super::client::Call;
use super::failure::Failure;
use super::live;
use super::output::{Format, at, plain};
use super::session::Session;

/// What happens to topics, modules, deployments and groups, as it happens
#[derive(Args)]
pub(super) struct Events {}

pub(super) async fn run(session: &Session, Events {}: Events) -> Result<(), Failure> {
    let human = match session.out.format {
        None => session.out.stdout_is_terminal,
        Some(Format::Table) => true,
        Some(Format::Json | Format::Ndjson) => false,
        Some(_) => return Err(Failure::Usage("events are shown as table or ndjson".into())),
    };
    let call = Call::get(&["v1", "events"]).header("accept", "application/x-ndjson");
    live::lines(session, call.takes(live::FOR_EVER), |lines| {
        let mut out = Vec::with_capacity(lines.len() + 1);
        for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Value>(line) {
                Ok(event) if human => out.extend_from_slice(shown(&event).as_bytes()),
                _ => out.extend_from_slice(line),
            }
            out.push(b'\n');
        }
        session.out.bytes(&out)
    })
    .await
}

fn shown(event: &Value) -> String {
    let details = event.get("details").and_then(Value::as_object).into_iter().flatten();
    let details: Vec<_> = details.map(|(name, value)| format!("{name}={}", plain(value))).collect();
    let what = at(event, "/event").replace('_', " ");
    format!("{} {what} {}  {}", at(event, "/at"), at(event, "/name"), details.join(" ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_a_line() {
        let event = json!({
            "event": "topic_created", "name": "t", "at": "2026-01-02T03:04:05.000Z", "details": { "partitions": "4" }
        });
        assert_eq!(shown(&event), "2026-01-02T03:04:05.000Z topic created t  partitions=4");
    }
}
