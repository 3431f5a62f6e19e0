//! Frames as they come over a socket of the loopback.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;

/// A client's end and the server's.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

fn framed(request: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(request.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(request);
    bytes
}

/// Key, version and correlation id, then so many bytes.
fn request(key: i16, body: usize) -> Vec<u8> {
    let mut bytes = key.to_be_bytes().to_vec();
    bytes.extend([0, 0, 0, 0, 0, 1]);
    bytes.resize(bytes.len() + body, 7);
    bytes
}

/// What a client that says this and goes away is answered.
async fn refusal(bytes: &[u8]) -> String {
    let (mut client, server) = pair().await;
    client.write_all(bytes).await.unwrap();
    drop(client);
    let mut reader = FrameReader::new();
    reader.next(&server, &Budget::new(64 * MIB), true).await.unwrap_err().to_string()
}

#[tokio::test]
async fn frames_are_cut_wherever_the_bytes_are() {
    let (mut client, server) = pair().await;
    let (budget, mut reader) = (Budget::new(64 * MIB), FrameReader::new());
    let requests = [request(3, 0), request(18, 100), request(0, 3 * MIB), request(1, 20_000)];
    let sent = requests.clone();
    let sending = async move {
        let mut bytes: Vec<u8> = sent.iter().flat_map(|r| framed(r)).collect();
        let rest = bytes.split_off(10);
        for piece in [bytes, rest] {
            client.write_all(&piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        client
    };
    let reading = async {
        for request in &requests {
            let incoming = reader.next(&server, &budget, true).await.unwrap().unwrap();
            assert_eq!(incoming.api_key(), api_key(request));
            assert!(incoming.bytes == request[..], "{} bytes", request.len());
        }
    };
    let (client, ()) = tokio::join!(sending, reading);
    drop(client);
    assert!(reader.next(&server, &budget, true).await.unwrap().is_none());
}

#[tokio::test]
async fn a_claimed_length_takes_little_room_and_little_memory() {
    let (mut client, server) = pair().await;
    let (budget, mut reader) = (Budget::new(4 * MIB), FrameReader::new());
    let mut bytes = u32::try_from(KAFKA_REQUEST_BYTES_MAX).unwrap().to_be_bytes().to_vec();
    bytes.extend(request(PRODUCE, 100));
    client.write_all(&bytes).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(100), reader.next(&server, &budget, true)).await;
    assert!(waited.is_err(), "it waits for the rest");
    assert_eq!(reader.granted, 2 * SMALL);
    assert!(reader.buffer.capacity() <= 2 * BLOCK, "{}", reader.buffer.capacity());
}

#[tokio::test]
async fn small_requests_are_free_unless_they_produce_or_are_not_alone() {
    let (mut client, server) = pair().await;
    let (budget, mut reader) = (Budget::new(4 * MIB), FrameReader::new());
    for key in [3, 3, PRODUCE] {
        client.write_all(&framed(&request(key, 10))).await.unwrap();
    }
    for (alone, is_free) in [(true, true), (false, false), (true, false)] {
        let mut incoming = reader.next(&server, &budget, alone).await.unwrap().unwrap();
        assert_eq!(incoming.share.take_units().is_none(), is_free);
    }
}

#[tokio::test]
async fn lengths_that_no_request_has_are_refused() {
    assert_eq!(refusal(&[0, 0, 0, 7]).await, "a request of 7 bytes, expected 8 to 104857600");
    assert_eq!(refusal(&[0xff; 4]).await, "a request of -1 bytes, expected 8 to 104857600");
    assert_eq!(refusal(&[6, 0x40, 0, 1]).await, "a request of 104857601 bytes, expected 8 to 104857600");
    let mut metadata = vec![1, 0, 0, 0];
    metadata.extend(request(3, 0));
    assert_eq!(refusal(&metadata).await, "a request of 16777216 bytes, expected 8 to 8388608");
}

#[tokio::test]
async fn who_comes_through_the_wrong_door_is_told() {
    let http = refusal(b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(http.ends_with("this is HTTP, which has a port of its own (http.addr)"), "{http}");
    let tls = refusal(&[0x16, 3, 1, 2, 0]).await;
    assert!(tls.ends_with("this is TLS, which the Kafka port does not speak"), "{tls}");
}

#[tokio::test]
async fn an_end_inside_a_request_is_an_error() {
    assert_eq!(refusal(&[0, 0]).await, "the connection ended after 2 of 4 bytes of a request");
    let mut half = framed(&request(3, 20));
    half.truncate(20);
    assert_eq!(refusal(&half).await, "the connection ended after 20 of 32 bytes of a request");
}

#[tokio::test]
async fn a_connection_that_says_nothing_holds_no_buffer() {
    let (mut client, server) = pair().await;
    let (budget, mut reader) = (Budget::new(4 * MIB), FrameReader::new());
    client.write_all(&framed(&request(3, 10))).await.unwrap();
    reader.next(&server, &budget, true).await.unwrap().unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(50), reader.next(&server, &budget, true)).await;
    assert!(waited.is_err());
    assert_eq!(reader.buffer.capacity(), 0);
}

#[tokio::test]
async fn the_end_of_a_connection_is_heard_while_its_request_is_at_work() {
    let (mut client, server) = pair().await;
    let (budget, mut reader) = (Budget::new(4 * MIB), FrameReader::new());
    client.write_all(&framed(&request(3, 10))).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(50), reader.closed(&server)).await;
    assert!(waited.is_err(), "it only speaks");
    drop(client);
    reader.closed(&server).await;
    assert!(reader.next(&server, &budget, true).await.unwrap().is_some(), "what was read ahead is kept");
}

#[tokio::test]
async fn a_request_that_stops_arriving_and_a_long_silence_end_the_connection() {
    let (mut client, server) = pair().await;
    let (budget, mut reader) = (Budget::new(4 * MIB), FrameReader::new());
    let soon = Duration::from_millis(50);
    reader.since -= KAFKA_IDLE_MAX;
    let idle = reader.next(&server, &budget, true).await.unwrap_err();
    assert!(matches!(idle, FrameError::Idle(KAFKA_IDLE_MAX)), "{idle}");

    client.write_all(&framed(&request(3, 20))[..20]).await.unwrap();
    reader.since = monotonic();
    assert!(tokio::time::timeout(soon, reader.next(&server, &budget, true)).await.is_err());
    reader.since -= KAFKA_REQUEST_TIME_MAX;
    let late = reader.next(&server, &budget, true).await.unwrap_err();
    assert_eq!(late.to_string(), "no whole request came within 60s");
}
