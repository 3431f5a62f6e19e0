//! Deployment specs in YAML.

use anyhow::{Context, Result};
use serde_json::json;

use super::support::Server;

#[tokio::test]
async fn a_spec_may_be_yaml_with_the_same_places_named() -> Result<()> {
    let server = Server::start().await?;
    server.topic("in", 1).await?;
    server.upload("count-by-key").await?.expect(201)?;
    let put = |path: &str, kind: &str, body: &str| {
        server.send(
            server.request(reqwest::Method::PUT, path).header("content-type", kind).body(body.to_owned()),
        )
    };
    let spec = "kind: processor\nmodule: count-by-key\ninput: { topics: [in] }  # what it reads\n\
        output: { default: out, create_topics: { partitions: 2 } }\n";
    let spec_json = json!({
        "kind": "processor", "module": "count-by-key", "input": { "topics": ["in"] },
        "output": { "default": "out", "create_topics": { "partitions": 2 } }
    });
    let dry = put("/v1/deployments/totals?dry_run", "text/yaml", spec).await?.expect(200)?.json()?;
    assert_eq!(dry["created"], true);
    put("/v1/deployments/totals", "application/x-yaml", spec).await?.expect(201)?;
    let same = server.put("/v1/deployments/totals", &spec_json).await?.expect(200)?.json()?;
    assert_eq!(same["revision"], 1, "JSON says the same");

    let wrong = spec.replace("processor", "processer") + "limits:\n  memory: 1KiB\n  cpu: [no]\n";
    let refused = put("/v1/deployments/totals", "application/yaml", &wrong).await?.expect(422)?.json()?;
    let places: Vec<_> = refused["errors"]
        .as_array()
        .context("errors")?
        .iter()
        .filter_map(|e| e["pointer"].as_str())
        .collect();
    assert_eq!(places, ["/kind", "/limits"]);
    Ok(())
}
