//! Data directories of older formats, written by the servers of their time: they open, say all that they said, and are of
//! today's format afterwards.

use super::super::directory::FORMAT;
use super::*;

/// Written by the server of format 1 through its HTTP interface, with one restart: `orders` with two partitions, `words`
/// in lz4, a processor over it that counts words into `counts`, and an idempotency key.
const FORMAT_1: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1.tar.zst"));

/// Unpacks a tar archive of plain files and folders.
fn unpack(packed: &[u8]) -> TempDir {
    const BLOCK: usize = 512;
    let text = |field: &[u8]| std::str::from_utf8(field).unwrap().trim_matches(['\0', ' ']).to_owned();
    let dir = tempfile::tempdir().unwrap();
    let archive = zstd::decode_all(packed).unwrap();
    let mut rest = &archive[..];
    while let Some((header, content)) = rest.split_at_checked(BLOCK).filter(|(header, _)| header[0] != 0) {
        let path = dir.path().join(text(&header[..100]));
        let size = usize::from_str_radix(&text(&header[124..136]), 8).unwrap();
        match header[156] {
            b'5' => std::fs::create_dir_all(path).unwrap(),
            kind => {
                assert_eq!(kind, b'0', "a plain file");
                std::fs::write(path, &content[..size]).unwrap();
            }
        }
        rest = &content[size.next_multiple_of(BLOCK)..];
    }
    dir
}

/// Rows of task state by kind.
fn state_rows(storage: &Storage, kind: keys::Kind) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let everything = KeyRange { start: vec![0], end: vec![0xff; 64], reverse: false };
    let visit = |key: &[u8], row: &[u8]| {
        if key[12] == kind as u8 {
            rows.push((key.to_vec(), row.to_vec()));
        }
        std::ops::ControlFlow::Continue(())
    };
    storage.state().scan(&everything, visit).unwrap();
    rows
}

#[tokio::test]
async fn format_1_opens_with_all_that_is_in_it_and_becomes_todays() {
    let dir = unpack(FORMAT_1);
    for opening in 0..2 {
        let storage = open(dir.path());
        assert_eq!(storage.warnings(), [""; 0]);
        let mut topics = storage.topics();
        topics.retain(|topic| !topic.name.is_internal());
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        let named: Vec<_> = topics.iter().map(|t| (t.name.as_str(), t.partitions)).collect();
        assert_eq!(named, [("counts", 1), ("orders", 2), ("words", 1)]);
        let logs: Vec<_> = topics.iter().flat_map(|topic| storage.logs(topic.id)).collect();
        let bounds: Vec<_> = logs.iter().map(|log| (log.start(), log.ends())).collect();
        let ends = |tail| (0, Ends { tail, stable: tail });
        assert_eq!(bounds, [ends(75), ends(1), ends(2), ends(7 + opening)]);

        let read = async |log: &Arc<Log>| values(&storage.read(log, 0, 1 << 20).await.unwrap());
        assert_eq!(read(&logs[1]).await, [r#"{"n":3}"#]);
        assert_eq!(read(&logs[2]).await, [r#"{"n":1}"#, r#"{"n":2}"#]);
        let words = read(&logs[3]).await;
        assert_eq!((words.len() as u64, &words[6][..]), (7 + opening, r#""written after a restart""#));
        assert_eq!(read(&logs[0]).await.len(), 75);
        assert_eq!(storage.offset_for_time(&logs[3], 3_000, 7).await, Ok(Some((4, 3_000))));
        assert_eq!(storage.aborted(&logs[3], 0, 7).await, Ok(vec![]));

        let entries = state_rows(&storage, keys::Kind::StateEntry);
        let fox = entries.iter().find(|(key, _)| key.ends_with(b"fox")).unwrap();
        assert_eq!((entries.len(), &fox.1[..]), (10, &b"15"[..]));
        assert_eq!(state_rows(&storage, keys::Kind::StatePosition).len(), 1);
        let remembered = tables::idempotency::load_all(&storage).unwrap();
        let keys: Vec<_> = remembered.iter().map(|(key, _)| String::from_utf8_lossy(key)).collect();
        assert_eq!(keys, ["order-7"]);
        assert!(String::from_utf8_lossy(&remembered[0].1).contains(r#""offset":1"#), "its answer");
        assert_eq!(tables::deployments::load_all(&storage).unwrap()[0].spec.name.as_str(), "wc");
        let module = tables::modules::load_all(&storage).unwrap().remove(0);
        assert!(tables::module_bytes::load(&storage, &module.digest).unwrap().is_some());

        let mut commit = Commit::new();
        commit.append(&logs[3], batch(&["goes on"]));
        storage.commit(commit).await.unwrap();
        storage.close();
        let format = std::fs::read_to_string(dir.path().join("format.json")).unwrap();
        assert_eq!(format, format!(r#"{{"format":{FORMAT}}}"#));
    }
}
