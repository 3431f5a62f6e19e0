//! What README shows is what the tree holds.

use super::support;

fn read(path: &str) -> String {
    std::fs::read_to_string(support::repository().join(path)).expect(path)
}

#[test]
fn the_transform_in_readme_is_the_template() {
    let template = read("guest-examples/template/src/lib.rs");
    let code = template.split("#[cfg(test)]").next().unwrap_or_default();
    let shown: Vec<_> = code.lines().skip_while(|l| l.starts_with("//!") || l.is_empty()).collect();
    assert!(read("README.md").contains(shown.join("\n").trim()), "README's transform is not the template's");
}

#[test]
fn examples_in_other_languages_have_their_templates_sdk() {
    let template = read("guest-examples/template-js/sdk/millstream.js");
    assert_eq!(read("guest-examples/js-transform/sdk/millstream.js"), template);
    for name in ["in", "out"] {
        let golden = |example: &str| read(&format!("guest-examples/{example}/tests/orders.{name}.ndjson"));
        assert_eq!(golden("js-transform"), golden("py-transform"), "the two say the same in two languages");
    }
}

#[test]
fn the_sdk_carries_the_servers_wit() {
    assert_eq!(read("wit/millstream.wit"), read("guest-examples/sdk/wit/millstream.wit"));
}
