//! A module's project on the command line, without a server: templates, and golden files through the engine.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::Result;
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
    let report: serde_json::Value = serde_json::from_slice(&passed.stdout)?;
    assert_eq!((&report["result"], &report["records_out"]), (&"passed".into(), &3.into()), "{report}");
    Ok(())
}

#[test]
fn a_timed_processors_golden_files_see_its_timers_fire() -> Result<()> {
    let fixture = Fixture::new("timed-processor", "template-timed")?;
    let passed = fixture.test(&["-o", "json"])?;
    assert_eq!(code(&passed), 0, "{}", text(&passed));
    let report: serde_json::Value = serde_json::from_slice(&passed.stdout)?;
    assert_eq!((&report["result"], &report["records_out"]), (&"passed".into(), &4.into()), "{report}");
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
