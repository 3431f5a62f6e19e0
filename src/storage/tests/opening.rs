//! What opening refuses, and what it puts right.

use super::super::{directory, families};
use super::*;

#[tokio::test]
async fn a_directory_that_is_open_cannot_be_opened_again() {
    let world = World::new();
    let refused = Storage::open(options(world.dir.path(), Clock::system())).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
}

#[tokio::test]
async fn a_newer_format_is_refused_and_untouched() {
    let world = World::new();
    world.storage.close();
    let copy = world.crashed_copy();
    std::fs::write(copy.path().join("format.json"), r#"{"format":7,"more":true}"#).unwrap();
    let refused = Storage::open(options(copy.path(), Clock::system())).unwrap_err();
    assert!(matches!(refused, OpenError::NewerFormat { found: 7, known: 2, .. }), "{refused}");
}

#[tokio::test]
async fn families_without_a_topic_are_dropped() {
    let world = World::new();
    world.topic("orders", 1, &[]).await;
    let orphan = families::of_topic(TopicId(Uuid::from_u128(9)));
    world.storage.db().create_family(&orphan).unwrap();
    let world = world.reopen();
    let families = world.storage.db().topic_families().unwrap();
    assert_eq!(families.len(), 1);
    assert!(!families.contains(&orphan));
}

#[tokio::test]
async fn a_topic_without_its_files_is_reported_and_can_be_given_up() {
    let world = World::new();
    let orders = world.topic("orders", 1, &[]).await.remove(0);
    let clicks = world.topic("clicks", 1, &[]).await.remove(0);
    world.append(&orders, batch(&["a", "b"])).await;
    world.append(&clicks, batch(&["kept"])).await;
    world.storage.db().drop_family(&orders.family).unwrap();
    world.storage.close();
    let copy = world.crashed_copy();

    let refused = Storage::open(options(copy.path(), Clock::system())).unwrap_err().to_string();
    assert!(refused.contains("the files of 1 are missing: topics `orders`"), "{refused}");

    std::fs::write(directory::accept_loss_file(copy.path()), "").unwrap();
    let storage = open(copy.path());
    let emptied = storage.logs(orders.topic_id()).remove(0);
    assert_eq!((emptied.start(), emptied.tail()), (2, 2), "no offset is given out twice");
    let kept = storage.logs(clicks.topic_id()).remove(0);
    assert_eq!(values(&storage.read(&kept, 0, 1 << 20).await.unwrap()), ["kept"]);
    storage.close();
    drop(storage);
    let emptied = open(copy.path()).logs(orders.topic_id()).remove(0);
    assert_eq!((emptied.start(), emptied.tail()), (2, 2));
}

#[test]
fn a_storage_opens_and_closes_without_a_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    assert!(!storage.disk().full);
    assert_eq!(storage.admission_bytes() as u64, MEMORY / 8);
    storage.close();
    storage.close();
}
