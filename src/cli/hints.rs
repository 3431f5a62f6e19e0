//! What to do about a problem, in the words of the command line. The server's hints speak of paths, methods and headers;
//! where such a hint would send somebody from here to `curl`, this table has another. Codes that are not in it keep the
//! server's hint, which says the same in any interface.

/// Of a problem whose places were shown.
pub(super) const PLACES: &str = "each wrong place is named above";

/// Of a spec whose module is not there.
pub(super) const MODULE: &str =
    "`millstream module list` shows what is there, `millstream module push NAME` uploads";

/// The hint for a code, if the server's would not do.
pub(super) fn of(code: &str) -> Option<&'static str> {
    Some(match code {
        "topic_not_found" => {
            "`millstream topic list` shows what is there, `millstream topic create NAME` makes a topic"
        }
        "partition_not_found" => "`millstream topic describe NAME` tells how many partitions there are",
        "module_not_found" => MODULE,
        "revision_not_found" => "`millstream deployment history NAME` shows those that are kept",
        "deployment_has_no_state" => "`millstream deployment describe NAME` shows what it remembers",
        "deployment_not_found" => "`millstream deployment list` shows what is there",
        "store_not_found" => {
            "stores come into being when the code first writes to them; `millstream state stores DEPLOYMENT` lists them"
        }
        "key_not_found" => {
            "state is kept under the record's key; --after and --wait wait for a record of yours"
        }
        "query_missing" => {
            "export `query` (query!(T) in Rust), or read its stores: `millstream state stores NAME`"
        }
        "query_failed" => "the detail says how; `millstream deployment logs NAME` has what the code logged",
        "query_not_found" => {
            "the detail is in the code's own words; with --after and --wait the query waits for a record of yours"
        }
        "topic_exists" => {
            "`millstream topic alter` changes a topic that is there; --if-not-exists takes one that is as asked"
        }
        "invalid_module" => "`millstream module wit` prints the interface that modules are written against",
        "position_out_of_range" => {
            "`millstream topic describe NAME` shows where partitions begin and end; earliest and latest always fit"
        }
        "topic_in_use" => "delete the deployments first, or say --force",
        "producer_fenced" => "a new producer id begins anew",
        "group_not_found" => "`millstream group list` shows what is there",
        "member_not_found" => "`millstream group describe NAME` lists the members",
        "group_not_empty" => {
            "stop its members first, or remove them: `millstream group remove-member`, or --force of `millstream group reset`"
        }
        "group_is_read_only" => "`millstream deployment rewind NAME` moves a deployment's position",
        "rebalanced" => "somebody came or went meanwhile; try again",
        "invalid_topic_config" => "`millstream topic describe NAME` shows the settings of a topic",
        "offset_expired" | "cursor_expired" => "read with --from earliest",
        "offset_out_of_range" => {
            "`millstream topic describe NAME` shows where partitions begin and end; latest is the end"
        }
        "precondition_failed" => "somebody else changed it meanwhile; look at it and try again",
        "body_too_large" => {
            "send less at once: of records --batch says how many, anything else has to be smaller"
        }
        "record_too_large" => {
            "`millstream topic alter NAME --config max.message.bytes=…` allows larger records, or make the record smaller"
        }
        "invalid_body" | "invalid_record" | "record_rejected" | "invalid_deployment" => PLACES,
        "invalid_query" | "invalid_header" | "invalid_path" | "method_not_allowed" | "route_not_found" => {
            "if names and values are right, this command and the server are of different versions: compare `millstream \
             version` with `millstream status`"
        }
        "not_acceptable" => "--format base64 shows any value",
        "transform_failed" => {
            "`millstream deployment describe NAME` and `millstream deployment logs NAME` show why; fix or delete the \
             deployment, or set on_fault: open"
        }
        "state_behind" => {
            "repeat, or with a longer --wait; `millstream deployment describe NAME` shows its lag and errors"
        }
        "overloaded" | "compiler_busy" => "repeat after a moment",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::codes::Code;

    /// Words that only somebody who speaks HTTP can follow.
    const FOREIGN: [&str; 9] =
        ["GET ", "POST ", "PUT ", "PATCH ", "ETag", "Allow header", "?force", "wait=", "errors[]"];

    #[test]
    fn no_hint_sends_a_user_of_the_command_line_to_http() {
        for code in Code::ALL {
            let entry = code.entry();
            let shown = of(entry.name).unwrap_or(entry.cure);
            let foreign: Vec<_> = FOREIGN.iter().filter(|word| shown.contains(**word)).collect();
            assert!(foreign.is_empty(), "{}: {shown:?} says {foreign:?}", entry.name);
        }
    }

    #[test]
    fn only_codes_that_exist_have_a_hint() {
        let text = include_str!("hints.rs");
        let table = text.split("Some(match").nth(1).unwrap().split("_ => return None").next().unwrap();
        for name in table
            .split('"')
            .filter(|s| s.contains('_') && s.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        {
            assert!(Code::find(name).is_some(), "{name}");
        }
    }
}
