//! A module's project on the command line, without a server: templates, and golden files through the engine.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::Result;
use serde_json::Value;
use tempfile::TempDir;

use crate::support;

/// A new project, and the component that its template was built into.
struct Fixture {
    dir: TempDir,
    component: PathBuf,
}

impl Fixture {
    fn new(kind: &str, guest: &str) -> Result<Self> {
        let prebuilt = support::repository().join("guest-examples/prebuilt");
        let fixture =
            Self { dir: tempfile::tempdir()?, component: prebuilt.join(guest).with_extension("wasm") };
        let made = fixture.millstream(&["module", "new", "shout", "--kind", kind])?;
        assert_eq!(code(&made), 0, "{}", text(&made));
        Ok(fixture)
    }

    fn millstream(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        // What is compiled stays in the fixture.
        command.args(args).current_dir(self.dir.path()).env("XDG_CACHE_HOME", self.dir.path().join("cache"));
        Ok(command.output()?)
    }

    fn test(&self, args: &[&str]) -> Result<Output> {
        let component = self.component.to_string_lossy().into_owned();
        self.millstream(&[&["module", "test", "shout", "--file", &component], args].concat())
    }

    /// The parameters and the rest of a deployment that may ask one address.
    fn deploy(&self, kind: &str, rest: &str) -> Result<()> {
        let head =
            format!("name: shout\nkind: {kind}\nmodule: shout\ngrants: {{ http: [\"http://a.test\"] }}\n");
        Ok(std::fs::write(self.dir.path().join("shout/deploy.yaml"), head + rest)?)
    }

    /// What comes out of a test with this input and these answers: of requests what `shown` makes of them.
    fn out(&self, input: &str, answers: &str, shown: impl Fn(&Value) -> String) -> Result<Vec<String>> {
        std::fs::write(self.golden("new.in.ndjson"), input)?;
        std::fs::write(self.golden("new.answers.ndjson"), answers)?;
        let updated = self.test(&["--only", "new", "--update"])?;
        assert_eq!(code(&updated), 0, "{}", text(&updated));
        let shown = |line: &str| match serde_json::from_str::<Value>(line)? {
            line if line["request"].is_string() => Ok(shown(&line)),
            _ => Ok(line.to_owned()),
        };
        std::fs::read_to_string(self.golden("new.out.ndjson"))?.lines().map(shown).collect()
    }

    fn golden(&self, name: &str) -> PathBuf {
        self.dir.path().join("shout/tests").join(name)
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

#[test]
fn a_transforms_golden_files_pass_fail_with_a_difference_and_are_updated() -> Result<()> {
    let fixture = Fixture::new("transform", "template")?;
    let passed = fixture.test(&[])?;
    assert_eq!(code(&passed), 0, "{}", text(&passed));
    assert!(text(&passed).contains("passed   upper"), "{}", text(&passed));

    let golden = fixture.golden("upper.out.ndjson");
    let right = std::fs::read_to_string(&golden)?;
    std::fs::write(&golden, right.replace("HELLO", "hello"))?;
    let failed = fixture.test(&[])?;
    assert_eq!(code(&failed), 7);
    let difference =
        "  - {\"key\":\"a\",\"value_text\":\"hello\"}\n  + {\"key\":\"a\",\"value_text\":\"HELLO\"}\n";
    assert!(text(&failed).contains(difference), "{}", text(&failed));

    let updated = fixture.test(&["--update"])?;
    assert_eq!(code(&updated), 0, "{}", text(&updated));
    assert_eq!(std::fs::read_to_string(&golden)?, right);
    Ok(())
}

#[test]
fn a_processors_golden_files_see_its_state() -> Result<()> {
    let fixture = Fixture::new("processor", "template-processor")?;
    let passed = fixture.test(&["-o", "json"])?;
    assert_eq!(code(&passed), 0, "{}", text(&passed));
    let report: Value = serde_json::from_slice(&passed.stdout)?;
    assert_eq!((&report["result"], &report["records_out"]), (&"passed".into(), &3.into()), "{report}");
    Ok(())
}

#[test]
fn a_timed_processors_golden_files_see_its_timers_fire() -> Result<()> {
    let fixture = Fixture::new("timed-processor", "template-timed")?;
    let passed = fixture.test(&["-o", "json"])?;
    assert_eq!(code(&passed), 0, "{}", text(&passed));
    let report: Value = serde_json::from_slice(&passed.stdout)?;
    assert_eq!((&report["result"], &report["records_out"]), (&"passed".into(), &4.into()), "{report}");
    Ok(())
}

#[test]
fn a_template_sinks_golden_files_show_its_requests() -> Result<()> {
    let fixture = Fixture::new("sink", "template-sink")?;
    let passed = fixture.test(&[])?;
    assert_eq!(code(&passed), 0, "{}", text(&passed));
    Ok(())
}

/// The values of the records in a request of webhook-sink.
fn values(request: &Value) -> String {
    let records = request["body"].as_array().into_iter().flatten();
    records.map(|record| record["value"].to_string()).collect::<Vec<_>>().join(" ")
}

const THREE: &str = "{\"value\":1}\n{\"value\":2}\n{\"value\":3}\n";

#[test]
fn a_record_that_a_sink_refuses_stands_alone_between_its_neighbours() -> Result<()> {
    let fixture = Fixture::new("sink", "webhook-sink")?;
    let params = "params: { url: \"http://a.test/\", batch: \"1\" }";
    fixture
        .deploy("sink", &format!("input: {{ topics: [in] }}\n{params}\non_error: {{ max_retries: 1 }}\n"))?;
    let refused = "{\"status\":400}\n";
    let told = |what: &str| format!("{{\"{what}\":\"http://a.test/ answered 400\"}}");
    let (retry, error) = (told("retry"), told("error"));
    let answers = ["{}\n", refused, "{}\n", refused, refused].concat();
    let expected = ["1", "2", "1", "2", &retry, "2", &error, "3"];
    assert_eq!(fixture.out(THREE, &answers, values)?, expected);

    // A call takes records of one partition.
    let apart = THREE.replace("{\"value\":2", "{\"partition\":1,\"value\":2");
    let answers = ["{}\n", refused, refused].concat();
    assert_eq!(fixture.out(&apart, &answers, values)?, ["1", "2", &retry, "2", &error, "3"]);
    Ok(())
}

#[test]
fn a_batch_that_a_sink_refuses_is_halved_and_one_that_may_come_later_is_tried_again_first() -> Result<()> {
    let fixture = Fixture::new("sink", "webhook-sink")?;
    let params = "params: { url: \"http://a.test/\" }";
    fixture
        .deploy("sink", &format!("input: {{ topics: [in] }}\n{params}\non_error: {{ max_retries: 1 }}\n"))?;
    let told = |what: &str, status: u16| format!("{{\"{what}\":\"http://a.test/ answered {status}\"}}");
    let refused = "{\"status\":400}\n";
    let answers = [refused, "{}\n", refused, refused, refused].concat();
    let (retry, error) = (told("retry", 400), told("error", 400));
    let expected = ["1 2 3", "1", "2 3", "2", &retry, "2", &error, "3"];
    assert_eq!(fixture.out(THREE, &answers, values)?, expected);

    let retry = told("retry", 503);
    let expected = ["1 2 3", &retry, "1 2 3", "1", "2 3"];
    assert_eq!(fixture.out(THREE, &"{\"status\":503}\n".repeat(2), values)?, expected);
    Ok(())
}

#[test]
fn a_sources_golden_files_go_from_poll_to_poll() -> Result<()> {
    let fixture = Fixture::new("source", "http-poll-source")?;
    let params = "{ url: \"http://a.test/\", key: /id, since-field: /id, page: \"2\" }";
    fixture.deploy("source", &format!("output: {{ default: out }}\nparams: {params}\n"))?;
    let url = |request: &Value| request["url"].as_str().unwrap_or_default().to_owned();
    // Base64 of {"since":"1"}
    let polls = "{}\n{}\n{\"cursor_base64\":\"eyJzaW5jZSI6IjEifQ==\"}\n{}\n";
    let answers =
        "{\"body\":[{\"id\":1},{\"id\":2}]}\n{\"body\":[{\"id\":3}]}\n{\"status\":503}\n{\"status\":404}\n";
    let expected = [
        "http://a.test/",
        r#"{"key":"1","value":{"id":1}}"#,
        r#"{"key":"2","value":{"id":2}}"#,
        r#"{"cursor":"{\"since\":\"2\"}","more":true}"#,
        "http://a.test/?since=2",
        r#"{"key":"3","value":{"id":3}}"#,
        r#"{"cursor":"{\"since\":\"3\"}"}"#,
        "http://a.test/?since=1",
        r#"{"retry":"http://a.test/ answered 503"}"#,
        "http://a.test/?since=1",
        r#"{"error":"http://a.test/ answered 404"}"#,
    ];
    assert_eq!(fixture.out(polls, answers, url)?, expected);

    std::fs::write(fixture.golden("new.in.ndjson"), "{}\n{\"cursor_base64\":\"?\"}\n")?;
    let wrong = fixture.test(&["--only", "new"])?;
    assert_eq!(code(&wrong), 7);
    assert!(text(&wrong).contains("new.in.ndjson, line 2: no base64"), "{}", text(&wrong));
    Ok(())
}

#[test]
fn what_is_missing_or_wrong_in_a_test_is_named() -> Result<()> {
    let fixture = Fixture::new("transform", "template")?;
    std::fs::write(fixture.golden("new.in.ndjson"), "{\"value\": 1}\n")?;
    let missing = fixture.test(&["--only", "new"])?;
    assert_eq!(code(&missing), 7);
    assert!(text(&missing).contains("new.out.ndjson is missing; --update writes it"), "{}", text(&missing));

    std::fs::write(fixture.golden("new.in.ndjson"), "{\"value\": 1}\n{\"vale\": 2}\n")?;
    let wrong = fixture.test(&["--only", "new"])?;
    assert_eq!(code(&wrong), 7);
    assert!(text(&wrong).contains("new.in.ndjson, line 2: unknown field `vale`"), "{}", text(&wrong));

    let none = fixture.test(&["--only", "nothing"])?;
    assert_eq!(code(&none), 2);
    Ok(())
}

#[test]
fn a_record_that_traps_fails_its_test_with_its_line() -> Result<()> {
    let fixture = Fixture::new("processor", "trap")?;
    std::fs::write(fixture.golden("trap.in.ndjson"), "{\"value\":1}\n{\"value_text\":\"misbehave\"}\n")?;
    let failed = fixture.test(&["--only", "trap"])?;
    assert_eq!(code(&failed), 7);
    let text = text(&failed);
    assert!(
        text.contains("trap.in.ndjson, line 2: the code trapped")
            && text.contains("told the code to misbehave"),
        "{text}"
    );
    Ok(())
}

#[test]
fn the_wit_that_modules_are_written_against_needs_no_server() -> Result<()> {
    let fixture = Fixture::new("transform", "template")?;
    let wit = fixture.millstream(&["module", "wit"])?;
    assert_eq!(
        String::from_utf8(wit.stdout)?,
        std::fs::read_to_string(fixture.dir.path().join("shout/sdk/wit/millstream.wit"))?
    );
    Ok(())
}
