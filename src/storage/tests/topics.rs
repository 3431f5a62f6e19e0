//! The life of topics and of the other rows.

use super::*;

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let world = World::new();
    let logs = world.topic("orders", 2, &[("retention.ms", "-1")]).await;
    world.append(&logs[0], batch(&["a", "b"])).await;
    world.append(&logs[1], batch(&["c"])).await;
    let before = world.storage.topics();
    let (id, bytes) = (logs[0].topic_id(), logs[0].bytes());
    drop(logs);

    let world = world.reopen();
    assert_eq!(world.storage.topics(), before);
    let logs = world.storage.logs(id);
    assert_eq!((logs[0].start(), logs[0].tail(), logs[0].bytes()), (0, 2, bytes));
    assert_eq!(world.values(&logs[0], 0).await, ["a", "b"]);
    assert_eq!(world.append(&logs[1], batch(&["d"])).await, Placed { base: 1, next: 2 });
    assert_eq!(world.values(&logs[1], 0).await, ["c", "d"]);
}

#[tokio::test]
async fn a_name_or_id_that_is_taken_is_refused() {
    let world = World::new();
    let first = topic("orders", 1, &[]);
    world.storage.create_topic(first.clone()).await.unwrap();
    let exists = Error::Exists { name: first.name.clone() };
    assert_eq!(world.storage.create_topic(topic("orders", 1, &[])).await.unwrap_err(), exists);
    let same_id = Topic { name: TopicName::parse("other").unwrap(), ..first };
    assert!(world.storage.create_topic(same_id).await.is_err());
}

#[tokio::test]
async fn partitions_are_added_and_never_taken_away() {
    let world = World::new();
    let mut orders = topic("orders", 1, &[]);
    let old = world.storage.create_topic(orders.clone()).await.unwrap();
    orders.partitions = 3;
    let logs = world.storage.update_topic(orders.clone()).await.unwrap();
    assert_eq!(logs.len(), 3);
    assert!(Arc::ptr_eq(&old[0], &logs[0]));
    world.append(&logs[2], batch(&["x"])).await;
    orders.partitions = 2;
    let error = world.storage.update_topic(orders.clone()).await.unwrap_err();
    assert_eq!(error, Error::Partitions { name: orders.name.clone(), found: 3, asked: 2 });
    let id = orders.id;
    drop((old, logs));
    let world = world.reopen();
    assert_eq!(world.values(&world.storage.logs(id)[2], 0).await, ["x"]);
}

#[tokio::test]
async fn new_settings_are_in_force_at_once() {
    let world = World::new();
    let mut orders = topic("orders", 1, &[]);
    let log = world.storage.create_topic(orders.clone()).await.unwrap().remove(0);
    orders.config.set("durability", "os").unwrap();
    world.storage.update_topic(orders).await.unwrap();
    world.append(&log, batch(&["x"])).await;
    assert_eq!(log.durable(), 0, "acknowledged without a sync");
}

#[tokio::test]
async fn a_deleted_topic_leaves_nothing_and_its_name_is_free() {
    let world = World::new();
    let log = world.topic("orders", 1, &[]).await.remove(0);
    world.append(&log, batch(&["x"])).await;
    let id = log.topic_id();
    world.storage.delete_topic(id).await.unwrap();
    assert_eq!(world.storage.delete_topic(id).await, Err(Error::NotFound { id }));
    let again = world.topic("orders", 1, &[]).await.remove(0);
    assert_eq!((again.tail(), again.slot), (0, log.slot + 1));
    drop((log, again));
    let world = world.reopen();
    assert_eq!(world.storage.topics().len(), 1);
    assert!(world.storage.logs(id).is_empty());
    assert_eq!(world.storage.db().topic_families().unwrap().len(), 1);
}

#[tokio::test]
async fn other_rows_read_back_after_reopening() {
    use crate::model::ModuleName;
    use crate::model::limits::MODULE_PIECE_BYTES;
    use crate::model::module::{Digest, ModuleKind, ModuleVersion, Version};
    use tables::counters::{self, Counter};

    let world = World::new();
    let bytes = bytes::Bytes::from(vec![7u8; 2 * MODULE_PIECE_BYTES + 5]);
    let (digest, orphan) = (Digest::of(&bytes), Digest::of(b"orphan"));
    for (index, piece) in tables::module_bytes::pieces(&bytes) {
        let mut commit = Commit::new();
        tables::module_bytes::put(&mut commit, &digest, index, piece);
        world.storage.commit(commit).await.unwrap();
    }
    let module = ModuleVersion {
        name: ModuleName::parse("m").unwrap(),
        version: Version::parse("1.0.0").unwrap(),
        digest,
        kind: ModuleKind::Processor,
        size: bytes.len() as u64,
        imports: vec![],
        exports: vec![],
        producers: vec![],
        params: None,
        compile_ms: 1,
        compiled_size: 1,
        created_ms: 1,
    };
    let mut commit = Commit::new();
    tables::modules::put(&mut commit, &module);
    tables::module_bytes::put(&mut commit, &orphan, 0, bytes::Bytes::from_static(b"orphan"));
    counters::put(&mut commit, Counter::Deployment, 8);
    world.storage.commit(commit).await.unwrap();
    assert_eq!(tables::module_bytes::load(&world.storage, &orphan).unwrap().unwrap(), "orphan");

    let world = world.reopen();
    assert_eq!(tables::modules::load_all(&world.storage), Ok(vec![module]));
    assert_eq!(tables::module_bytes::load(&world.storage, &digest), Ok(Some(bytes)));
    assert_eq!(
        tables::module_bytes::load(&world.storage, &orphan),
        Ok(None),
        "pieces without a row are dropped"
    );
    assert_eq!(counters::load(&world.storage, Counter::Deployment), Ok(8));
}
