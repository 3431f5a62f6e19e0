//! Configuration, log and state as native tests see them, and the SDK's copy of the contract.

use millstream_sdk::state::Store;
use millstream_sdk::{config, log, testing};

#[test]
fn parameters_are_typed_and_errors_name_them() {
    testing::set_param("keep", " 12 ");
    testing::set_param("fields", "a, b,,c ");
    assert_eq!(config::parse::<u32>("keep"), Ok(Some(12)));
    assert_eq!(config::parse_or::<u32>("absent", 7), Ok(7));
    assert_eq!(config::list("fields"), Some(vec!["a".into(), "b".into(), "c".into()]));
    assert_eq!(config::require("absent"), Err("parameter `absent` is missing".into()));
    testing::set_param("keep", "many");
    let text = "parameter `keep`: `many` is not valid: invalid digit found in string";
    assert_eq!(config::parse::<u32>("keep"), Err(text.into()));
}

#[test]
fn durations_and_sizes_read_as_the_server_reads_them() {
    for (text, millis) in [("1500", 1500), ("10s", 10_000), ("2h", 7_200_000)] {
        testing::set_param("pause", text);
        assert_eq!(config::duration("pause"), Ok(Some(std::time::Duration::from_millis(millis))));
    }
    for (text, bytes) in [("1000", 1000), ("64KiB", 65_536), ("1MB", 1_000_000)] {
        testing::set_param("room", text);
        assert_eq!(config::size("room"), Ok(Some(bytes)));
    }
    testing::set_param("room", "large");
    let text = "parameter `room`: `large` is not valid: expected a size such as 64KiB";
    assert_eq!(config::size("room"), Err(text.into()));
}

#[test]
fn log_lines_are_captured_in_order() {
    log::info!("{} words", 3);
    log::warn!("late");
    let lines = [(log::Level::Info, "3 words".to_owned()), (log::Level::Warn, "late".to_owned())];
    assert_eq!(testing::log_lines(), lines);
}

#[test]
fn a_store_reads_its_writes_in_key_order() {
    let store = Store::open("counts");
    store.put_many(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
    store.put_many(&[("b", None::<&str>)]);
    assert_eq!(store.get_many(&["c", "b"]), [Some(b"3".to_vec()), None]);
    store.put("d", "4");
    store.delete("a");
    let pair = |key: &str, value: &str| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    assert_eq!(store.scan(b"", None, 10), [pair("c", "3"), pair("d", "4")]);
    assert_eq!(store.scan(b"", Some(b"d"), 10), [pair("c", "3")]);
    assert_eq!(store.scan(b"", None, 1), [pair("c", "3")]);
    assert_eq!(testing::store("counts").len(), 2);
}

#[test]
fn the_contract_is_the_one_of_the_server() {
    let own = include_str!("../wit/millstream.wit");
    let server = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/millstream.wit");
    // A copy of this crate in a user's project has no server beside it.
    if let Ok(server) = std::fs::read_to_string(server) {
        assert_eq!(own, server);
    }
}
