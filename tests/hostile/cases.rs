//! The components, how each is deployed, and how each has to end.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::guests;
use crate::outside::FLIPS;

/// Where the bytes of a component come from.
pub(crate) enum Bytes {
    /// a file of `guest-examples/prebuilt`
    Prebuilt(&'static str),
    /// made here
    Made(fn() -> Result<Vec<u8>>),
}

/// How it has to end.
pub(crate) enum End {
    /// its upload is refused with this code
    Refused(&'static str),
    /// its deployment is refused with this fault
    NotDeployed(&'static str),
    /// the deployment comes to this state, its last error with this code
    Task(&'static str, &'static str),
    /// an inline transform whose produce request is refused with this fault
    Inline(&'static str),
    /// it goes on, and its log says so
    Logged,
}

/// One component.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) bytes: Bytes,
    /// more members of its spec
    pub(crate) members: Value,
    pub(crate) end: End,
    /// what the message has to contain
    pub(crate) says: &'static str,
}

impl Case {
    pub(crate) fn component(&self, root: &str) -> Result<Vec<u8>> {
        match &self.bytes {
            Bytes::Prebuilt(guest) => {
                let path = format!("{root}/guest-examples/prebuilt/{guest}.wasm");
                std::fs::read(&path).with_context(|| path)
            }
            Bytes::Made(make) => make(),
        }
    }
}

fn case(name: &'static str, bytes: Bytes, members: Value, end: End, says: &'static str) -> Case {
    Case { name, bytes, members, end, says }
}

/// A prebuilt processor, or one of the ways of `unruly`.
fn prebuilt(guest: &'static str, limits: &Value, code: &'static str, says: &'static str) -> Case {
    case(guest, Bytes::Prebuilt(guest), json!({ "limits": limits }), End::Task("failed", code), says)
}

fn unruly(how: &'static str, members: Value, end: End, says: &'static str) -> Case {
    let mut members = members;
    members["params"] = json!({ "how": how });
    case(how, Bytes::Prebuilt("unruly"), members, end, says)
}

fn made(name: &'static str, make: fn() -> Result<Vec<u8>>, end: End, says: &'static str) -> Case {
    case(name, Bytes::Made(make), json!({ "limits": { "wall": "1s" } }), end, says)
}

/// A sink that posts each record to `url`, with what it is granted.
fn sink(name: &'static str, url: &str, grant: &str, code: &'static str, says: &'static str) -> Case {
    let members = json!({
        "kind": "sink", "params": { "url": url, "batch": 1 }, "grants": { "http": [grant] },
    });
    case(name, Bytes::Prebuilt("webhook-sink"), members, End::Task("failed", code), says)
}

/// A source of our own making.
fn source(
    name: &'static str,
    make: fn() -> Result<Vec<u8>>,
    limits: &Value,
    code: &'static str,
    says: &'static str,
) -> Case {
    let members = json!({ "kind": "source", "source": { "interval": "100ms" }, "limits": limits });
    case(name, Bytes::Made(make), members, End::Task("failed", code), says)
}

/// Those that go out, or wait for the outside; `port` is that of [`crate::outside::Outside`].
fn outward(port: u16) -> [Case; 6] {
    let here = format!("http://127.0.0.2:{port}");
    let flips = format!("http://{FLIPS}:{port}");
    let (ungranted, inside) = (format!("http://127.0.0.1:{port}/hook"), format!("http://localhost:{port}"));
    [
        sink("sink-ungranted", &ungranted, &here, "fatal", "grants.http of the deployment"),
        sink("sink-private", &format!("{inside}/hook"), &inside, "fatal", "is of no public network"),
        sink("sink-redirect", &format!("{here}/moved"), &here, "refused", "answered 307"),
        sink("sink-rebind", &format!("{flips}/hook"), &flips, "fatal", "is of no public network"),
        source("source-endless", guests::endless_source, &json!({}), "cpu_limit", "`limits.cpu`"),
        source(
            "source-asleep",
            guests::sleeping_source,
            &json!({ "wall": "1s" }),
            "wall_limit",
            "`limits.wall`",
        ),
    ]
}

/// All of them.
pub(crate) fn all(port: u16) -> Vec<Case> {
    let mut all = inward();
    all.extend(outward(port));
    all
}

/// Those that keep to themselves.
fn inward() -> Vec<Case> {
    vec![
        prebuilt("endless-loop", &json!({ "cpu": "200ms" }), "cpu_limit", "`limits.cpu`"),
        prebuilt("memory-hog", &json!({ "memory": "32MiB", "cpu": "5s" }), "memory_limit", "`limits.memory`"),
        prebuilt("oversized-output", &json!({ "cpu": "20s" }), "output_bytes_limit", "`limits.output.bytes`"),
        prebuilt("trap", &json!({}), "trap", "told the code to misbehave"),
        case(
            "wrong-world",
            Bytes::Prebuilt("wrong-world"),
            json!({}),
            End::Refused("invalid_module"),
            "elsewhere:other/greeter",
        ),
        unruly("stack-bomb", json!({}), End::Task("failed", "trap"), "endless recursion?"),
        made("compile-bomb", guests::compile_bomb, End::Refused("compile_failed"), "`limits.compile_cpu`"),
        unruly("slow-start", json!({}), End::NotDeployed("open_failed"), "more than 1s of CPU time"),
        made(
            "unknown-import",
            guests::unknown_import,
            End::Refused("invalid_module"),
            "elsewhere:weather/forecast",
        ),
        made("wrong-version", guests::wrong_version, End::Refused("invalid_module"), "9.9.0"),
        unruly("log-flood", json!({ "limits": { "cpu": "5s" } }), End::Logged, "`limits.log_lines`"),
        unruly(
            "huge-state",
            json!({ "state": { "max_bytes": "16MiB" }, "limits": { "cpu": "10s" } }),
            End::Task("failed", "state_limit"),
            "`state.max_bytes`",
        ),
        made("sleeper", guests::sleeper, End::Task("failed", "wall_limit"), "`limits.wall`"),
        made("lying-lengths", guests::lying_lengths, End::Task("failed", "protocol"), "a length of 1000000"),
        unruly("bad-text", json!({}), End::Task("failed", "protocol"), "utf-8"),
        made("wrong-outcome-count", guests::wrong_outcome_count, End::Inline("protocol"), "outcome"),
    ]
}
