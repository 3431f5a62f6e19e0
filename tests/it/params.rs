//! Parameters that a module declares: shown, checked when it is deployed or patched, filled in for its code.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::{self, Server};

async fn server() -> Result<Server> {
    let server = Server::start().await?;
    server.topic("orders", 1).await?;
    server.upload("enrich").await?.expect(201)?;
    Ok(server)
}

fn spec(params: &Value) -> Value {
    json!({ "kind": "inline", "module": "enrich", "input": { "topics": ["orders"] }, "params": params })
}

/// The problems of a refused deployment, by pointer.
fn problems(answer: &support::Answer) -> Result<Vec<(String, String)>> {
    let problem = answer.json()?;
    assert_eq!(problem["code"], "invalid_deployment", "{problem:#}");
    let errors = problem["errors"].as_array().context("errors")?;
    let text = |e: &Value, name: &str| e[name].as_str().unwrap_or_default().to_owned();
    Ok(errors.iter().map(|e| (text(e, "pointer"), text(e, "detail"))).collect())
}

#[tokio::test]
async fn what_a_module_declares_is_shown_with_its_version() -> Result<()> {
    let server = server().await?;
    let version = server.get("/v1/modules/enrich/versions/latest").await?.expect(200)?.json()?;
    let missing = &version["params"]["missing"];
    assert_eq!(missing["values"], json!(["keep", "drop", "reject"]), "{version:#}");
    assert_eq!(version["params"]["max-size"]["default"], "256KiB");
    let body = support::prebuilt("enrich")?;
    let validate = server.request(reqwest::Method::POST, "/v1/modules/any/validate").body(body);
    assert_eq!(server.send(validate).await?.expect(200)?.json()?["params"], version["params"]);

    server.upload("template").await?.expect(201)?;
    let undeclared = server.get("/v1/modules/template/versions/latest").await?.expect(200)?.json()?;
    assert_eq!(undeclared.get("params"), None, "what declares nothing takes what it is given");
    Ok(())
}

#[tokio::test]
async fn a_deployment_whose_parameters_do_not_fit_is_refused() -> Result<()> {
    let server = server().await?;
    let wrong = json!({ "mising": "drop", "overwrite": "yes", "max-size": "1GiB", "missing": "drp", "time-field": "" });
    for path in ["/v1/deployments/e", "/v1/deployments/e?dry_run=true"] {
        let told = problems(&server.put(path, &spec(&wrong)).await?.expect(422)?)?;
        let expected = [
            ("/params/max-size", "is `1GiB`, expected 8MiB or less"),
            ("/params/mising", "the module has no such parameter; did you mean `missing`?"),
            ("/params/missing", "is `drp`, expected keep, drop, reject; did you mean `drop`?"),
            ("/params/overwrite", "is `yes`, expected true or false"),
            ("/params/time-field", "is `` of 0 characters, expected 1 or more"),
        ];
        let told: Vec<_> = told.iter().map(|(pointer, detail)| (pointer.as_str(), detail.as_str())).collect();
        assert_eq!(told, expected);
    }

    server.put("/v1/deployments/e", &spec(&json!({ "overwrite": true }))).await?.expect(201)?;
    let patch = server.request(reqwest::Method::PATCH, "/v1/deployments/e");
    let patch = patch.json(&json!({ "params": { "time-shift": "soon" } }));
    let told = problems(&server.send(patch).await?.expect(422)?)?;
    assert_eq!(told[0].1, "is `soon`, expected a duration such as 500ms, 10s or 2h");
    Ok(())
}

#[tokio::test]
async fn every_example_that_has_parameters_refuses_a_misspelt_one() -> Result<()> {
    let server = server().await?;
    let cases = [
        ("redact-json", "inline", json!({ "feilds": "a" }), "fields"),
        ("validate-json", "inline", json!({ "require": "a" }), "required"),
        ("webhook-sink", "sink", json!({ "url": "http://x.test", "timout": "1s" }), "timeout"),
        ("template-sink", "sink", json!({ "url": "http://x.test", "uri": "" }), "url"),
    ];
    for (module, kind, params, meant) in cases {
        server.upload(module).await?.expect(201)?;
        let spec =
            json!({ "kind": kind, "module": module, "input": { "topics": ["orders"] }, "params": params });
        let told = problems(&server.put("/v1/deployments/x", &spec).await?.expect(422)?)?;
        let expected = format!("the module has no such parameter; did you mean `{meant}`?");
        assert_eq!(told.iter().map(|(_, detail)| detail).collect::<Vec<_>>(), [&expected], "{module}");
    }
    Ok(())
}

#[tokio::test]
async fn defaults_are_for_the_code_and_not_for_the_spec() -> Result<()> {
    let server = server().await?;
    let params = json!({ "constants": "{\"site\":\"eu\"}", "time-field": "at", "time-shift": "1s" });
    let view = server.put("/v1/deployments/e", &spec(&params)).await?.expect(201)?.json()?;
    assert_eq!(view["spec"]["params"], params);
    let large = "x".repeat(300 << 10);
    let records = json!({ "records": [
        { "value": { "n": 1 }, "timestamp": 1_700_000_000_000_i64 }, { "value": { "n": 2, "large": large } }
    ] });
    server.post("/v1/topics/orders/records", &records).await?.expect(200)?;
    let read = server.get("/v1/topics/orders/records").await?.expect(200)?.json()?;
    assert_eq!(read["records"][0]["value"], json!({ "n": 1, "site": "eu", "at": 1_700_000_001_000_i64 }));
    assert_eq!(read["records"][1]["value"].get("site"), None, "larger than the default of max-size");
    Ok(())
}

/// `module test` on the example, with its own or another spec.
fn module_test(deploy: impl Fn(String) -> String, args: &[&str]) -> Result<(i32, String)> {
    let example = support::repository().join("guest-examples/enrich");
    let dir = tempfile::tempdir()?;
    let project = dir.path().join("enrich");
    std::fs::create_dir_all(project.join("tests"))?;
    for file in ["Cargo.toml", "tests/orders.in.ndjson", "tests/orders.out.ndjson"] {
        std::fs::copy(example.join(file), project.join(file))?;
    }
    std::fs::write(
        project.join("deploy.yaml"),
        deploy(std::fs::read_to_string(example.join("deploy.yaml"))?),
    )?;
    let component = support::repository().join("guest-examples/prebuilt/enrich.wasm");
    let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["module", "test"])
        .arg(&project)
        .arg("--file")
        .arg(component)
        .args(args)
        .env("XDG_CACHE_HOME", dir.path().join("cache"))
        .output()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ok((output.status.code().unwrap_or(-1), text))
}

#[test]
fn the_examples_golden_files_pass() -> Result<()> {
    let (code, text) = module_test(|deploy| deploy, &[])?;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("passed   orders  (6 out"), "{text}");
    Ok(())
}

#[test]
fn a_test_run_checks_parameters_as_a_deployment_does() -> Result<()> {
    let (code, text) = module_test(|deploy| deploy.replace("missing: reject", "missing: rejected"), &[])?;
    assert_eq!(code, 7, "{text}");
    let words =
        "deploy.yaml: /params/missing is `rejected`, expected keep, drop, reject; did you mean `reject`?";
    assert!(text.contains(words), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_recommender_takes_what_it_declares_alone() -> Result<()> {
    let server = server().await?;
    server.upload("item-cf").await?.expect(201)?;
    let spec = json!({
        "kind": "processor", "module": "item-cf", "input": { "topics": ["orders"] },
        "params": { "emit": "both", "keep": -1 }
    });
    let told = problems(&server.put("/v1/deployments/r", &spec).await?.expect(422)?)?;
    let places: Vec<_> = told.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(places, ["/params/emit", "/params/keep"]);
    Ok(())
}
