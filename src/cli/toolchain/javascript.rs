//! JavaScript and TypeScript: esbuild makes one file of the sources and the packages they import, and an engine's tool puts
//! that file and the engine into a component. TypeScript checks the types meanwhile.

mod positions;
mod stand_in;

use std::path::{Path, PathBuf};

use serde_json::Value;

use self::positions::Positions;
use super::{absolute, answer, captured, finish, output, tool};
use crate::cli::failure::Failure;
use crate::cli::project::{Engine, Language, Project};
use crate::cli::session::Session;

/// What is told to somebody without Node.js.
const MISSING: &str =
    "npm is not there\nhint: https://nodejs.org, or the packages nodejs and npm of your system";
/// The oldest Node.js that the tools run on.
const NODE_MIN: u64 = 18;

/// Exports that a world asks for.
const EXPORTS: [(&str, &[&str]); 10] = [
    ("inline-transform", &["transform"]),
    ("stateful-processor", &["processor"]),
    ("migrating-processor", &["processor", "migrate"]),
    ("timed-processor", &["processor", "onTimer"]),
    ("answering-processor", &["processor", "query"]),
    ("timed-answering-processor", &["processor", "onTimer", "query"]),
    ("delivering-sink", &["sink"]),
    ("http-sink", &["sink"]),
    ("polling-source", &["source"]),
    ("http-source", &["source"]),
];
/// Exports that a world may not call, each with one that does.
const BESIDE: [(&str, &str); 2] = [("onTimer", "timed-processor"), ("query", "answering-processor")];

/// componentize-js is a library without a command. Without HTTP there is nothing that a server could refuse to link.
const STARLINGMONKEY: &str = r#"
import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";
const [sourcePath, worldName, out] = process.argv.slice(1);
const { component } = await componentize({
  sourcePath, witPath: "wit", worldName, disableFeatures: ["http", "fetch-event"],
});
await writeFile(out, component);
"#;

pub(super) async fn build(session: &Session, project: &Project) -> Result<PathBuf, Failure> {
    install(session, project).await?;
    let out = output(project)?;
    let positions = bundle(session, project, &out).await?;
    let component = component(project, &out, &positions);
    tokio::try_join!(types(project), component)?;
    Ok(out)
}

/// Lets npm install what is missing, and names what it has not brought.
async fn install(session: &Session, project: &Project) -> Result<(), Failure> {
    let wanted = tools(project);
    let missing = || wanted.iter().find(|(place, _)| found(project, place).is_none());
    if missing().is_none() {
        return Ok(());
    }
    node(project).await?;
    session.out.hint("installing what package.json names (once)");
    let mut npm = tool(project, "npm");
    npm.args(["install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel", "error"]);
    // Its own patience lasts for minutes, without a word.
    npm.args(["--fetch-retry-mintimeout", "1000", "--fetch-retry-maxtimeout", "4000"]);
    finish(npm, MISSING).await.map_err(|failure| match failure {
        Failure::Local(text) if text != MISSING => Failure::Local(format!(
            "{text}\nhint: npm takes packages from its registry; `npm config get registry` names it"
        )),
        other => other,
    })?;
    missing().map_or(Ok(()), |(_, packages)| {
        let name = packages.split('@').find(|part| !part.is_empty()).unwrap_or(packages);
        Err(Failure::Local(format!(
            "{name} is not installed: package.json does not name it\nhint: npm install --save-dev {packages}"
        )))
    })
}

/// Places below `node_modules`, each with the packages that npm is asked for.
fn tools(project: &Project) -> Vec<(&'static str, &'static str)> {
    let mut tools = vec![(".bin/esbuild", "esbuild@0.28.2")];
    tools.push(match project.entry.engine.unwrap_or_default() {
        Engine::QuickJs => (".bin/componentize-qjs", "componentize-qjs@0.4.5"),
        // Its version 0.23.0 does not name the second one, which it needs.
        Engine::StarlingMonkey => (
            "@bytecodealliance/componentize-js/package.json",
            "@bytecodealliance/componentize-js@0.23.0 @bytecodealliance/preview2-shim@0.17.4",
        ),
    });
    if project.language == Language::Ts {
        tools.push((".bin/tsc", "typescript@7.0.2"));
    }
    tools
}

/// As npm installs it, here or in a folder above.
fn found(project: &Project, place: &str) -> Option<PathBuf> {
    let folder = std::path::absolute(&project.folder).ok()?;
    let mut places = folder.ancestors().map(|folder| folder.join("node_modules").join(place));
    places.find(|place| place.is_file())
}

/// Whether Node.js is there, and new enough.
async fn node(project: &Project) -> Result<(), Failure> {
    let mut node = tool(project, "node");
    node.arg("--version");
    let version = answer(node).await.ok_or_else(|| Failure::Local(MISSING.to_owned()))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u64>().ok());
    if major.is_some_and(|major| major < NODE_MIN) {
        return Err(Failure::Local(format!(
            "Node.js {version} is too old: the tools need {NODE_MIN} or later\nhint: https://nodejs.org"
        )));
    }
    Ok(())
}

/// One file of the code and of what it imports, beside the component that is to be. Tells where its lines come from.
async fn bundle(session: &Session, project: &Project, out: &Path) -> Result<Positions, Failure> {
    let main = &project.entry.main;
    if !project.path(main).is_file() {
        return Err(Failure::Local(format!(
            "{main} is not there; package.json names it in `millstream.main`"
        )));
    }
    let (file, facts) = (out.with_extension("js"), out.with_extension("json"));
    let mut command = tool(project, executable(project, ".bin/esbuild")?);
    command.args([
        main,
        "--bundle",
        "--format=esm",
        "--target=es2023",
        "--external:millstream:*",
        "--external:wasi:*",
    ]);
    command.args(["--define:process.env.NODE_ENV=\"production\"", "--log-level=warning"]);
    command.args(["--sourcemap", "--sources-content=false"]);
    command.arg(option("--outfile=", &absolute(&file)?)).arg(option("--metafile=", &absolute(&facts)?));
    let done = captured(command, MISSING).await?;
    if done.success && !done.text.is_empty() {
        session.out.hint(done.text.trim());
    } else if !done.success {
        let hint = if done.text.contains("built into node") {
            "\nhint: there is no Node.js around the code: no files, no network, no processes"
        } else if done.text.contains("Could not resolve") {
            "\nhint: packages are installed by `npm install NAME`"
        } else {
            ""
        };
        let text: Vec<_> = done.text.trim().lines().filter(|line| !is_advice(line)).collect();
        return Err(Failure::Local(format!("{main} does not build:\n{}{hint}", text.join("\n").trim_end())));
    }
    exported(project, &facts)?;

    let failed = |e: String| Failure::Local(format!("{}: {e}", file.display()));
    let map = std::fs::read_to_string(out.with_extension("js.map")).map_err(|e| failed(e.to_string()))?;
    let mut text = std::fs::read_to_string(&file).map_err(|e| failed(e.to_string()))?;
    let positions = Positions::of_source_map(&map, &text).map_err(failed)?;
    if stand_in::is_needed(project) {
        text = stand_in::of_bundle(&text);
    }
    text.push_str(&positions.script());
    std::fs::write(&file, text).map_err(|e| failed(e.to_string()))?;
    Ok(positions)
}

/// What esbuild says about options of its own, which nobody here can give.
fn is_advice(line: &str) -> bool {
    line.starts_with("  You can mark the path") || line.contains("Are you trying to bundle for node?")
}

/// Refuses code without the exports that its world asks for: the engines would find out when the first record comes. And
/// code of which a part would never be called.
fn exported(project: &Project, facts: &Path) -> Result<(), Failure> {
    let world = project.entry.world.as_str();
    let Some((_, wanted)) = EXPORTS.iter().find(|(w, _)| *w == world) else { return Ok(()) };
    let text = std::fs::read(facts).map_err(|e| Failure::local("cannot read what esbuild tells", e))?;
    let facts: Value =
        serde_json::from_slice(&text).map_err(|e| Failure::local("cannot read what esbuild tells", e))?;
    let outputs = facts["outputs"].as_object().into_iter().flatten();
    let names: Vec<_> = outputs
        .filter(|(_, output)| output.get("entryPoint").is_some())
        .flat_map(|(_, output)| output["exports"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let main = &project.entry.main;
    let is_left = |(name, _): &&(&str, &str)| names.contains(name) && !wanted.contains(name);
    if let Some((name, other)) = BESIDE.iter().find(is_left) {
        return Err(Failure::Local(format!(
            "{main} exports {name}, which the world `{world}` does not call\nhint: \"millstream\": \
             {{ \"world\": \"{other}\" }} in package.json"
        )));
    }
    let Some(missing) = wanted.iter().find(|wanted| !names.contains(wanted)) else { return Ok(()) };
    let there = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    Err(Failure::Local(format!(
        "{main} exports {there}, but the world `{world}` asks for `{missing}`\nhint: export const {missing} = …"
    )))
}

/// The component of the bundle.
async fn component(project: &Project, out: &Path, positions: &Positions) -> Result<(), Failure> {
    let (world, file) = (&project.entry.world, absolute(&out.with_extension("js"))?);
    let stands_in = stand_in::is_needed(project);
    let mut command;
    match project.entry.engine.unwrap_or_default() {
        Engine::QuickJs => {
            command = tool(project, executable(project, ".bin/componentize-qjs")?);
            // Without asynchronous calls: the server makes none.
            let wit = if stands_in { stand_in::of_wit(project)? } else { PathBuf::from("wit") };
            command.args(["--sync", "--wit"]).arg(wit).args(["--world", world, "--js"]).arg(&file);
            command.arg("--output").arg(absolute(out)?);
        }
        Engine::StarlingMonkey => {
            command = tool(project, "node");
            command.args(["--input-type=module", "--eval", STARLINGMONKEY, "--"]);
            command.arg(&file).arg(world).arg(absolute(out)?);
        }
    }
    let done = captured(command, MISSING).await?;
    if done.success {
        return if stands_in { stand_in::put_right(out) } else { Ok(()) };
    }
    let name = out.with_extension("js").file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Before it the tool says what it was asked for.
    let told = done.text.find("Error").map_or(done.text.as_str(), |at| &done.text[at..]);
    let text = positions.in_sources(told, &name);
    Err(Failure::Local(format!(
        "the code fails while it is built, when its files are run for the first time:\n{}",
        text.trim_end()
    )))
}

/// Checks types where the project has any.
async fn types(project: &Project) -> Result<(), Failure> {
    if project.language != Language::Ts || !project.path("tsconfig.json").is_file() {
        return Ok(());
    }
    let mut command = tool(project, executable(project, ".bin/tsc")?);
    command.args(["--noEmit", "--project", "."]);
    finish(command, MISSING).await.map_err(|failure| match failure {
        Failure::Local(_) => Failure::Local("types do not fit; the messages stand above".to_owned()),
        other => other,
    })
}

fn executable(project: &Project, place: &str) -> Result<PathBuf, Failure> {
    found(project, place).ok_or_else(|| Failure::Local(format!("node_modules/{place} is not there")))
}

fn option(name: &str, value: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(value);
    option
}
