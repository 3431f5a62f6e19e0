//! Writes the corpus that fuzzing starts from, into the folder `corpus` beside this crate: one request per API and
//! version, and a batch per codec.

use std::path::Path;
use std::{fs, io};

use bytes::Bytes;
use millstream_fuzz::kafka::wire::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use millstream_fuzz::kafka::wire::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use millstream_fuzz::kafka::wire::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_fuzz::kafka::wire::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use millstream_fuzz::kafka::wire::messages::produce::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use millstream_fuzz::kafka::wire::{ApiKey, Request, encode_request};
use millstream_fuzz::model::Record;
use millstream_fuzz::model::batch::{BatchBuilder, Codec};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for api in ApiKey::ALL {
        // A header alone, in the lowest and the highest version: what the fuzzer needs to find the API.
        for version in [api.served().first, api.served().last] {
            let header =
                [&api.key().to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 1, 0xff, 0xff]].concat();
            save(
                &corpus,
                "request",
                &format!("{}-{version}", api.name()),
                &[&header[..], &[0; 16]].concat(),
            )?;
        }
    }
    requests(&corpus)?;
    for codec in Codec::ALL {
        let records = (0..4).map(|n| Record {
            key: Some(Bytes::from(format!("key {n}"))),
            value: Some(Bytes::from("value ".repeat(n))),
            timestamp: 1_700_000_000_000,
            ..Record::default()
        });
        let mut builder = BatchBuilder::new();
        records.for_each(|record| builder.push_record(&record));
        let batch = builder.finish(codec).ok_or(io::ErrorKind::InvalidData)?;
        save(&corpus, "batch", codec.name(), &[&[0], &batch.bytes()[..]].concat())?;
        let kind = Codec::ALL.iter().position(|other| *other == codec).unwrap_or_default() as u8;
        let raw = b"some bytes, some bytes, some bytes, some bytes, some bytes, some bytes";
        save(&corpus, "payload", codec.name(), &[&[kind, 4], &codec.compress(raw)[..]].concat())?;
    }
    Ok(())
}

fn requests(corpus: &Path) -> io::Result<()> {
    for version in [1, 12] {
        let topic = MetadataRequestTopic { name: Some("topic".into()), ..Default::default() };
        request(corpus, version, &MetadataRequest { topics: Some(vec![topic]), ..Default::default() })?;
    }
    for version in [4, 12, 17] {
        let partition =
            FetchPartition { fetch_offset: 7, partition_max_bytes: 1 << 20, ..Default::default() };
        let topic = FetchTopic { topic: "topic".into(), partitions: vec![partition], ..Default::default() };
        let cluster_id = Some("cluster".into());
        request(corpus, version, &FetchRequest { cluster_id, topics: vec![topic], ..Default::default() })?;
    }
    for version in [3, 11] {
        let partition = PartitionProduceData { index: 1, records: Some(Bytes::from_static(&[0; 61])) };
        let topic =
            TopicProduceData { name: "topic".into(), partition_data: vec![partition], ..Default::default() };
        request(
            corpus,
            version,
            &ProduceRequest { acks: -1, topic_data: vec![topic], ..Default::default() },
        )?;
    }
    for version in [0, 9] {
        let metadata = Bytes::from_static(&[0, 1, 0, 0]);
        let protocols = vec![JoinGroupRequestProtocol { name: "range".into(), metadata }];
        let group_id = "group".into();
        request(corpus, version, &JoinGroupRequest { group_id, protocols, ..Default::default() })?;
    }
    let group = OffsetFetchRequestGroup { group_id: "group".into(), topics: None, ..Default::default() };
    request(corpus, 9, &OffsetFetchRequest { groups: vec![group], ..Default::default() })
}

fn request<R: Request>(corpus: &Path, version: i16, request: &R) -> io::Result<()> {
    let frame = encode_request(1, Some(&"client".into()), version, request).map_err(io::Error::other)?;
    save(corpus, "request", &format!("{}-{version}-filled", R::API.name()), &frame.into_bytes()[4..])
}

fn save(corpus: &Path, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = corpus.join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}
