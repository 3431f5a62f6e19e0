//! `millstream module test`: golden files through the engine that the server runs, without a server.

mod outside;

use std::fs::Permissions;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use parking_lot::Mutex;
use serde_json::json;

use self::outside::{Run, Stage};
use super::deploy;
use super::failure::Failure;
use super::golden::{self, Golden};
use super::output::human_bytes;
use super::project::Project;
use super::run::{self, Place};
use super::session::Session;
use super::toolchain;
use crate::model::TopicName;
use crate::model::deployment::{DeploymentSpec, SpecProblem};
use crate::model::module::{Digest, ModuleKind};
use crate::model::params::Params;
use crate::pipelines::dry_run::{AtFault, DryRun, Failed, Sample};
use crate::runtime::clock::{Clock, monotonic};
use crate::state::{Scratch, TaskId};
use crate::wasm::{self, Component, Engine, Fault, LogLevel, LogSink, NodeLimits, artifact};

/// Compiled modules that are kept for the next run, the newest ones; Python's take 34 MB each.
const COMPILED_MAX: usize = 8;

/// Run golden files: tests/NAME.in.ndjson has to lead to tests/NAME.out.ndjson
#[derive(Args)]
#[command(
    after_help = "A line of input is a record as `produce` takes it: key, value (JSON), value_text or value_base64, headers, \
    timestamp,\nand topic, partition and offset where the code looks at them. A line of output is what would be stored, \
    {\"reject\": …}, or\n{\"error\": …}. Parameters, routes and limits are those of deploy.yaml.\n\nThe requests of a sink or a source \
    stand among the output. They are answered, in their order, from tests/NAME.answers.ndjson:\nstatus, headers, body. A line \
    of a source's input is a poll: {} or {\"cursor\": …}. Exit code 7: a test failed."
)]
pub(super) struct Test {
    /// Folder of the project
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Only tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Write what comes out as what is expected
    #[arg(long)]
    update: bool,
    /// Run one stored record of the server instead of the tests: TOPIC/PARTITION/OFFSET. A sink's requests are not sent:
    /// each is answered 200
    #[arg(long, value_name = "PLACE", value_parser = Place::parse, conflicts_with_all = ["only", "update"])]
    record: Option<Place>,
    /// A component to test instead of building one
    #[arg(long, value_name = "WASM")]
    file: Option<PathBuf>,
}

/// Lines of the code under test, in its order.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn write(&self, level: LogLevel, text: String) {
        self.0.lock().push(format!("{} {text}", level.as_str()));
    }
}

/// What came of a run.
#[derive(Default)]
struct Ran {
    /// in order
    lines: Vec<String>,
    /// what ended it early
    failed: Option<Failed>,
    /// of all calls
    cpu: Duration,
    /// linear memory, the largest of the instances
    memory_bytes: usize,
}

/// How a test ended.
enum Verdict {
    Passed,
    /// what came out was written as what is expected
    Updated,
    /// why, in lines
    Failed(String),
}

pub(super) async fn run(session: &Session, args: Test) -> Result<(), Failure> {
    let project = Project::open(&args.folder)?;
    let tests = if args.record.is_some() { Vec::new() } else { tests(&args)? };
    let file = match args.file.clone() {
        Some(file) => file,
        None => toolchain::build(session, &project).await?.file,
    };
    let (component, params) = component(session, &file).await?;
    let mut spec = spec(&project, component.kind())?;
    refuse(&params.map(|params| params.problems(&spec.params)).unwrap_or_default())?;

    if let Some(place) = &args.record {
        if component.kind() == ModuleKind::Source {
            return Err(Failure::Usage(
                "--record is for code that takes records; a source takes none".to_owned(),
            ));
        }
        return stored(session, &component, &mut spec, place).await;
    }

    let mut failed = 0;
    for test in &tests {
        let lines = Arc::new(Lines::default());
        let (verdict, ran) = one(&component, &spec, test, args.update, &lines).await?;
        failed += usize::from(matches!(verdict, Verdict::Failed(_)));
        show(session, test, &verdict, &ran, &lines)?;
    }
    match failed {
        0 => Ok(()),
        failed => Err(Failure::Refused(format!("{failed} of {} tests failed", tests.len()))),
    }
}

/// The tests that are asked for.
fn tests(args: &Test) -> Result<Vec<Golden>, Failure> {
    let folder = args.folder.strip_prefix(".").unwrap_or(&args.folder).join("tests");
    if !folder.is_dir() {
        let detail = format!("no tests: there is no folder {} with NAME.in.ndjson files", folder.display());
        return Err(Failure::Usage(detail));
    }
    let found =
        golden::find(&folder).map_err(|e| Failure::local(&format!("cannot read {}", folder.display()), e))?;
    let fits = |golden: &Golden| args.only.as_ref().is_none_or(|only| golden.name.contains(only));
    let tests: Vec<_> = found.into_iter().filter(fits).collect();
    if tests.is_empty() {
        return Err(Failure::Usage(format!("no test: {} holds no such NAME.in.ndjson", folder.display())));
    }
    Ok(tests)
}

/// Runs one stored record, and shows what comes out.
async fn stored(
    session: &Session,
    component: &Component,
    spec: &mut DeploymentSpec,
    place: &Place,
) -> Result<(), Failure> {
    let line = run::fetch(session, place).await?.to_string();
    let topic = TopicName::parse(&place.topic).map_err(|e| Failure::Usage(e.to_string()))?;
    if !spec.input.topics.contains(&topic) {
        spec.input.topics.push(topic);
    }
    let topics = spec.input_names();
    let samples =
        golden::samples(&line, &topics).map_err(|why| Failure::Refused(format!("{place}: {why}")))?;
    let samples: Vec<_> = samples.into_iter().map(|(_, sample)| sample).collect();
    let lines = Arc::new(Lines::default());
    let stage = Stage::new("").map_err(Failure::Refused)?;
    let ran = rehearse(component, spec, &lines, &samples, stage).await?;
    let mut text: String = ran.lines.iter().map(|line| format!("{line}\n")).collect();
    if let Some(failed) = &ran.failed {
        text.push_str(&trapped(&place.to_string(), failed));
    }
    text.extend(lines.0.lock().iter().map(|line| format!("    log {line}\n")));
    session.out.text(&text)?;
    match ran.failed {
        None => Ok(()),
        Some(_) => Err(Failure::Refused(format!("the code fails on {place}"))),
    }
}

/// Runs one test.
async fn one(
    component: &Component,
    spec: &DeploymentSpec,
    test: &Golden,
    update: bool,
    lines: &Arc<Lines>,
) -> Result<(Verdict, Ran), Failure> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path);
        text.map_err(|e| Failure::local(&format!("cannot read {}", path.display()), e))
    };
    let wrong = |file: &Path, why| Failure::Refused(format!("{}, {why}", file.display()));
    let in_input = |why| wrong(&test.input, why);
    let answers = if test.answers.exists() { read(&test.answers)? } else { String::new() };
    let stage = Stage::new(&answers).map_err(|why| wrong(&test.answers, why))?;
    let given = read(&test.input)?;
    let (numbers, ran): (Vec<_>, _) = if component.kind() == ModuleKind::Source {
        let (numbers, polls): (_, Vec<_>) = outside::polls(&given).map_err(in_input)?.into_iter().unzip();
        (numbers, outside_run(component, spec, lines, stage)?.poll(&polls).await)
    } else {
        let samples = golden::samples(&given, &spec.input_names()).map_err(in_input)?;
        let (numbers, samples): (_, Vec<Sample>) = samples.into_iter().unzip();
        (numbers, rehearse(component, spec, lines, &samples, stage).await?)
    };
    if let Some(failed) = &ran.failed {
        let place = match failed.sample.and_then(|sample| numbers.get(sample)) {
            Some(number) => format!("{}, line {number}", test.input.display()),
            None => test.input.display().to_string(),
        };
        return Ok((Verdict::Failed(trapped(&place, failed)), ran));
    }

    if update {
        let text: String = ran.lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&test.output, text)
            .map_err(|e| Failure::local(&format!("cannot write {}", test.output.display()), e))?;
        return Ok((Verdict::Updated, ran));
    }
    if !test.output.exists() {
        let why = format!("  {} is missing; --update writes it\n", test.output.display());
        return Ok((Verdict::Failed(why), ran));
    }
    let expected = golden::lines(&read(&test.output)?);
    let verdict = match golden::diff(&expected, &ran.lines) {
        None => Verdict::Passed,
        Some(diff) => Verdict::Failed(format!("  {}: - expected, + found\n{diff}", test.output.display())),
    };
    Ok((verdict, ran))
}

/// How code that goes out is run: its requests come to the stage.
fn outside_run<'a>(
    component: &'a Component,
    spec: &'a DeploymentSpec,
    lines: &Arc<Lines>,
    stage: Arc<Stage>,
) -> Result<Run<'a>, Failure> {
    let wrong = |why| Failure::Refused(format!("deploy.yaml: {why}"));
    Run::new(component, spec, lines.clone(), stage).map_err(wrong)
}

/// The code over the records, as a deployment would run it. The stage is for a sink.
async fn rehearse(
    component: &Component,
    spec: &DeploymentSpec,
    lines: &Arc<Lines>,
    samples: &[Sample],
    stage: Arc<Stage>,
) -> Result<Ran, Failure> {
    if component.kind() == ModuleKind::Sink {
        return Ok(outside_run(component, spec, lines, stage)?.deliver(samples).await);
    }
    let state = &Scratch::empty(TaskId { deployment: 0, generation: 0, task: 0 });
    let (log, at_fault): (Arc<dyn LogSink>, _) = (lines.clone(), AtFault::EndUnlessNamed);
    let (clock, strict, bytes_max) = (&Clock::system(), false, usize::MAX);
    // Nothing comes after the file: windows that are open at its end are told.
    let run = DryRun { component, spec, log, state, clock, at_fault, strict, bytes_max, flush: true };
    let report = run.run(samples).await;
    let lines = report.entries.iter().map(golden::line).collect();
    Ok(Ran { lines, failed: report.failed, cpu: report.cpu, memory_bytes: report.memory_bytes })
}

/// What ended a run: the panic's message, the record, the code's frames.
fn trapped(place: &str, failed: &Failed) -> String {
    let mut text = format!("  {place}: {}\n", failed.fault);
    if let Fault::Trap { backtrace, .. } = &failed.fault {
        text.extend(backtrace.iter().take(20).map(|frame| format!("    {frame}\n")));
    }
    text
}

fn show(
    session: &Session,
    test: &Golden,
    verdict: &Verdict,
    ran: &Ran,
    lines: &Lines,
) -> Result<(), Failure> {
    let (word, why) = match verdict {
        Verdict::Passed => ("passed", ""),
        Verdict::Updated => ("updated", ""),
        Verdict::Failed(why) => ("failed", why.as_str()),
    };
    if session.out.format.is_some() {
        let cpu_us = u64::try_from(ran.cpu.as_micros()).unwrap_or(u64::MAX);
        let value = json!({ "test": test.name, "result": word, "why": why, "records_out": ran.lines.len(),
            "cpu_us": cpu_us, "memory_bytes": ran.memory_bytes });
        return session.out.one(&value, |_| format!("{word:8} {}\n{why}", test.name));
    }
    let (ms, memory) = (ran.cpu.as_secs_f64() * 1e3, human_bytes(ran.memory_bytes as u64));
    let mut text = format!("{word:8} {}", test.name);
    if why.is_empty() {
        text.push_str(&format!("  ({} out, {ms:.1} ms CPU, {memory})", ran.lines.len()));
    }
    text.push('\n');
    text.push_str(why);
    let lines = lines.0.lock();
    if session.verbose || !why.is_empty() {
        text.extend(lines.iter().map(|line| format!("    log {line}\n")));
    }
    session.out.text(&text)
}

/// The deployment of the project, or what fits its code where there is none.
fn spec(project: &Project, kind: ModuleKind) -> Result<DeploymentSpec, Failure> {
    let path = project.path("deploy.yaml");
    let wrong = |why: String| Failure::Refused(format!("{}: {why}", path.display()));
    if path.is_file() {
        let text = std::fs::read_to_string(&path).map_err(|e| wrong(e.to_string()))?;
        let specs = deploy::parse(&text).map_err(wrong)?;
        let own = specs.iter().find(|spec| spec["module"] == project.name.as_str());
        let value = own.or(specs.first()).cloned().unwrap_or_default();
        let spec: DeploymentSpec = serde_json::from_value(value).map_err(|e| wrong(e.to_string()))?;
        refuse(&spec.problems())?;
        return Ok(spec);
    }
    let kind = match kind {
        ModuleKind::Sink => "sink",
        ModuleKind::Source => "source",
        kind if kind.is_transform() => "inline",
        _ => "processor",
    };
    let value =
        json!({ "name": project.name, "kind": kind, "module": project.name, "input": { "topics": ["in"] } });
    serde_json::from_value(value).map_err(|e| wrong(e.to_string()))
}

/// Refuses what the server would refuse of the spec when it is deployed.
fn refuse(problems: &[SpecProblem]) -> Result<(), Failure> {
    if problems.is_empty() {
        return Ok(());
    }
    let lines = problems.iter().map(|p| format!("deploy.yaml: {} {}", p.pointer, p.detail));
    Err(Failure::Refused(lines.collect::<Vec<_>>().join("\n")))
}

/// Checks and compiles a module as the server does, or takes what an earlier run has compiled.
async fn component(session: &Session, file: &Path) -> Result<(Component, Option<Params>), Failure> {
    let bytes =
        std::fs::read(file).map_err(|e| Failure::local(&format!("cannot read {}", file.display()), e))?;
    let bytes = Bytes::from(bytes);
    let refused = |e: wasm::Invalid| Failure::Refused(format!("{}: {e}\nhint: {}", file.display(), e.hint()));
    let inspected = wasm::inspect(&bytes).map_err(refused)?;

    let failed = |what: &str, e: &dyn std::fmt::Display| Failure::Local(format!("{what}: {e}"));
    let engine = Engine::new(NodeLimits::default()).map_err(|e| failed("cannot set up WebAssembly", &e))?;
    let folder = session.cache.join("compiled");
    private(&folder)?;
    let compiled = folder.join(artifact::file_name(&engine, &Digest::of(&bytes)));
    let params = inspected.params;
    if let Ok(component) = engine.load(&compiled, inspected.kind) {
        return Ok((component.with_params(params.as_ref()), params));
    }
    let source = folder.join(format!("{}.component", std::process::id()));
    std::fs::write(&source, &inspected.component).map_err(|e| failed("cannot write the component", &e))?;
    let began = monotonic();
    let done = artifact::compile_file(&source, &compiled);
    let _ = std::fs::remove_file(&source);
    done.map_err(|e| Failure::Refused(format!("{} cannot be compiled: {e}", file.display())))?;
    session.out.hint(format!("compiled in {:.1} s", began.elapsed().as_secs_f64()));
    sweep(&folder);
    let component = engine.load(&compiled, inspected.kind);
    let component = component.map_err(|e| failed("cannot load the module", &e))?;
    Ok((component.with_params(params.as_ref()), params))
}

/// A folder that nobody else can write: what lies in it is run.
fn private(folder: &Path) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let made = made.and_then(|()| std::fs::set_permissions(folder, Permissions::from_mode(0o700)));
    made.map_err(|e| Failure::local(&format!("cannot make {}", folder.display()), e))
}

/// Drops all but the newest compiled modules.
fn sweep(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        entries.filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path()))).collect();
    files.sort();
    for (_, path) in files.iter().rev().skip(COMPILED_MAX) {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_that_the_server_would_refuse_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("millstream.toml"), "name = \"c\"\nworld = \"packed\"\n").unwrap();
        let project = Project::open(folder.path()).unwrap();
        let read = || spec(&project, ModuleKind::Processor).map_err(|failure| failure.report(false).unwrap());
        read().expect("without a file there is one that fits");

        let text = "name: c\nkind: processor\nmodule: c\ninput: { topics: [in] }\n";
        let file = folder.path().join("deploy.yaml");
        std::fs::write(&file, text).unwrap();
        assert_eq!(read().unwrap().input_names(), ["in"]);
        std::fs::write(&file, format!("{text}grants: {{ http: [\"http://x\"] }}\n")).unwrap();
        let why = "error: deploy.yaml: /grants a deployment of kind processor does not go out\n";
        assert_eq!(read().unwrap_err(), why);
    }
}
