//! Requests as guests would make them, to servers on this machine.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wasmtime_wasi::async_trait;

use super::*;
use crate::model::secret::Secret;
use crate::runtime::tasks;
use crate::wasm::LogSink;

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn write(&self, _: LogLevel, text: String) {
        self.0.lock().push(text);
    }
}

/// Answers from a list, the last one for ever.
struct Names(Arc<Mutex<VecDeque<SocketAddr>>>);

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        let mut left = self.0.lock();
        let next = if left.len() > 1 { left.pop_front() } else { left.front().copied() };
        Ok(next.into_iter().collect())
    }
}

/// What a server has seen of one request: connection, line and head.
type Seen = Arc<Mutex<Vec<(usize, String, HeaderMap)>>>;

/// A server that answers `200 ok` to everything, but `/moved` with a redirect and `/huge` with too much.
async fn server(acceptor: Option<TlsAcceptor>) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let told = seen.clone();
    tasks::spawn("server", async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (seen, acceptor) = (seen.clone(), acceptor.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let line = format!("{} {}", request.method(), request.uri());
                seen.lock().push((connection, line, request.headers().clone()));
                answer(request)
            });
            tasks::spawn("connection", async move {
                let http = hyper::server::conn::http1::Builder::new();
                match acceptor {
                    None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            drop(http.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                }
            });
        }
    });
    (address, told)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    request.into_body().collect().await?;
    let mut response = Response::new(Full::new(Bytes::from_static(b"ok")));
    match path.as_str() {
        "/moved" => {
            *response.status_mut() = hyper::StatusCode::FOUND;
            response.headers_mut().insert("location", HeaderValue::from_static("http://169.254.169.254/"));
        }
        // More than what the sockets between hold.
        "/big" => *response.body_mut() = Full::new(vec![0; HTTP_BODY_BYTES_MAX as usize].into()),
        "/huge" => *response.body_mut() = Full::new(vec![0; HTTP_BODY_BYTES_MAX as usize + 1].into()),
        _ => {}
    }
    Ok(response)
}

struct Guest {
    client: Client,
    lines: Arc<Lines>,
}

impl Guest {
    fn of(grants: serde_json::Value, names: &[SocketAddr], trusted: Option<&str>) -> Self {
        let mut secrets = Secrets::default();
        secrets.insert("token", Secret::parse("hunter2").unwrap()).unwrap();
        let names = Names(Arc::new(Mutex::new(names.iter().copied().collect())));
        let trusted = trusted.map(str::as_bytes);
        let outbound = Outbound::with_resolver(secrets, trusted, Box::new(names)).unwrap();
        let access = outbound.access("d", &serde_json::from_value(grants).unwrap()).unwrap();
        let lines = Arc::new(Lines::default());
        let client = Client::new(Some(access), &Arc::new(Voice::new(lines.clone())));
        Self { client, lines }
    }

    async fn request(&mut self, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
        let sent = self.client.send_request(request, None, Box::new(async { Ok(()) }));
        Box::into_pin(sent).await.map(|(response, _)| response)
    }

    async fn get(&mut self, url: &str) -> Result<(u16, Bytes), Error> {
        let response = self.request(get(url)).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    async fn refused(&mut self, url: &str) -> (String, String) {
        let error = self.get(url).await.unwrap_err();
        (format!("{error:?}"), self.lines.0.lock().pop().unwrap_or_default())
    }
}

/// Those for the requests of its deployment.
fn places(guest: &Guest) -> Arc<Semaphore> {
    match &guest.client.granted.as_ref().unwrap().way {
        Way::Out { places, .. } => places.clone(),
        Way::Played(_) => unreachable!("these guests go out"),
    }
}

fn get(url: &str) -> Request<WasiBody> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Request::builder().uri(url).body(body).unwrap()
}

#[tokio::test]
async fn a_granted_host_gets_the_request_and_the_secret_over_one_connection() {
    let (address, seen) = server(None).await;
    let secret = json!([{ "name": "token", "header": "authorization", "format": "Bearer {}" }]);
    let grants = json!({ "http": [format!("http://{address}")], "secrets": secret });
    let mut guest = Guest::of(grants, &[], None);
    let mut request = get(&format!("http://{address}/a?b=c"));
    request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer mine"));
    let response = guest.request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    assert_eq!(guest.get(&format!("http://{address}")).await.unwrap(), (200, "ok".into()));

    let seen = seen.lock();
    let lines: Vec<_> = seen.iter().map(|(connection, line, _)| (*connection, line.as_str())).collect();
    assert_eq!(lines, [(0, "GET /a?b=c"), (0, "GET /")]);
    for (_, _, head) in &*seen {
        let values: Vec<_> = head.get_all("authorization").iter().collect();
        assert_eq!(values, ["Bearer hunter2"]);
    }
}

#[tokio::test]
async fn what_is_not_granted_is_refused_before_anything_is_sent() {
    let (address, seen) = server(None).await;
    let mut guest = Guest::of(json!({ "http": ["https://hooks.example.com"] }), &[address], None);
    let (error, line) = guest.refused(&format!("http://{address}/")).await;
    assert_eq!(error, "HttpRequestDenied");
    assert_eq!(line, format!("a request to http://{address} was refused: grants.http does not cover it"));
    for url in ["http://hooks.example.com/", "https://hooks.example.com:444/", "https://x.example.com/"] {
        assert_eq!(guest.refused(url).await.0, "HttpRequestDenied", "{url}");
    }
    assert_eq!(guest.refused("https://a@hooks.example.com/").await.0, "HttpRequestUriInvalid");
    assert!(seen.lock().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_refused_unless_granted_as_private() {
    let (address, seen) = server(None).await;
    let url = format!("http://inside.example.com:{}/", address.port());
    let grant = format!("http://*.example.com:{}", address.port());
    let mut guest = Guest::of(json!({ "http": [grant] }), &[address], None);
    let (error, line) = guest.refused(&url).await;
    assert_eq!(error, "DestinationIpProhibited");
    assert!(line.contains("its address 127.0.0.1 is of no public network"), "{line}");
    assert!(seen.lock().is_empty());

    let mut guest = Guest::of(json!({ "http": [{ "url": grant, "private": true }] }), &[address], None);
    assert_eq!(guest.get(&url).await.unwrap().0, 200);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_a_moment_later_gains_nothing() {
    let (good, seen_by_good) = server(None).await;
    let (bad, seen_by_bad) = server(None).await;
    let grant = json!({ "http": [{ "url": "http://rebind.example.com", "private": true }] });
    // The connection goes to the address that was checked: the name is asked once for each.
    let mut guest = Guest::of(grant, &[good, bad], None);
    assert_eq!(guest.get("http://rebind.example.com/1").await.unwrap().0, 200);
    assert_eq!(guest.get("http://rebind.example.com/2").await.unwrap().0, 200);
    assert_eq!((seen_by_good.lock().len(), seen_by_bad.lock().len()), (2, 0));

    // A new connection is checked anew, whatever the name said before.
    let metadata = "169.254.169.254:80".parse().unwrap();
    let mut guest = Guest::of(json!({ "http": ["http://rebind.example.com"] }), &[metadata, bad], None);
    for _ in 0..2 {
        assert_eq!(guest.refused("http://rebind.example.com/").await.0, "DestinationIpProhibited");
    }
    assert!(seen_by_bad.lock().is_empty());
}

#[tokio::test]
async fn a_redirect_is_the_guests_to_see() {
    let (address, seen) = server(None).await;
    let mut guest = Guest::of(json!({ "http": [format!("http://{address}")] }), &[], None);
    let response = guest.request(get(&format!("http://{address}/moved"))).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (302, &"http://169.254.169.254/".parse().unwrap())
    );
    assert_eq!(guest.refused("http://169.254.169.254/").await.0, "HttpRequestDenied");
    assert_eq!(seen.lock().len(), 1);
}

#[tokio::test]
async fn methods_that_would_show_the_secrets_or_make_a_tunnel_are_refused() {
    let (address, seen) = server(None).await;
    let mut guest = Guest::of(json!({ "http": [format!("http://{address}")] }), &[], None);
    for method in ["TRACE", "CONNECT", "trace"] {
        let mut request = get(&format!("http://{address}/"));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        let error = guest.request(request).await.err().unwrap();
        assert!(matches!(error, Error::HttpRequestMethodInvalid), "{method}: {error:?}");
    }
    assert!(seen.lock().is_empty());
}

#[tokio::test]
async fn bodies_have_a_bound_in_both_directions() {
    let (address, _) = server(None).await;
    let mut guest = Guest::of(json!({ "http": [format!("http://{address}")] }), &[], None);
    let error = guest.get(&format!("http://{address}/huge")).await.unwrap_err();
    assert!(matches!(error, Error::HttpResponseBodySize(Some(HTTP_BODY_BYTES_MAX))), "{error:?}");

    let mut request = get(&format!("http://{address}/"));
    let large = Bytes::from(vec![0; HTTP_BODY_BYTES_MAX as usize + 1]);
    *request.body_mut() = Full::new(large).map_err(|never| match never {}).boxed_unsync();
    let error = guest.request(request).await.err().unwrap();
    let Error::Hyper(error) = error else { panic!("{error:?}") };
    let cause = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<Error>());
    assert!(matches!(cause, Some(Error::HttpRequestBodySize(Some(HTTP_BODY_BYTES_MAX)))), "{error:?}");
}

#[tokio::test]
async fn an_instance_has_only_so_many_requests_under_way() {
    let (address, _) = server(None).await;
    let mut guest = Guest::of(json!({ "http": [format!("http://{address}")] }), &[], None);
    let mut unread = Vec::new();
    for _ in 0..HTTP_INSTANCE_REQUESTS_MAX {
        unread.push(guest.request(get(&format!("http://{address}/"))).await.unwrap());
    }
    assert_eq!(guest.refused(&format!("http://{address}/")).await.0, "ConnectionLimitReached");
    unread.clear();
    assert_eq!(guest.get(&format!("http://{address}/")).await.unwrap().0, 200);
}

#[tokio::test]
async fn what_a_call_leaves_unread_or_unanswered_ends_with_it() {
    let (address, _) = server(None).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nothing = format!("http://{}", silent.local_addr().unwrap());
    let mut guest = Guest::of(json!({ "http": [format!("http://{address}"), nothing] }), &[], None);
    let mut unread = Vec::new();
    for _ in 1..HTTP_INSTANCE_REQUESTS_MAX {
        unread.push(guest.request(get(&format!("http://{address}/big"))).await.unwrap());
    }
    let sent = guest.client.send_request(get(&nothing), None, Box::new(async { Ok(()) }));
    let mut unanswered = Box::into_pin(sent);
    assert!(unanswered.as_mut().now_or_never().is_none());
    assert_eq!(guest.refused(&format!("http://{address}/")).await.0, "ConnectionLimitReached");

    guest.client.end_call();
    let error = unanswered.await.err().unwrap();
    assert!(matches!(error, Error::ConnectionTerminated), "{error:?}");
    // The guest still holds the answers, and nothing of them holds a place.
    for _ in 0..HTTP_INSTANCE_REQUESTS_MAX {
        assert_eq!(guest.get(&format!("http://{address}/")).await.unwrap().0, 200);
    }
    assert!(unread.pop().unwrap().into_body().collect().await.is_err());
}

#[tokio::test]
async fn the_instances_of_a_deployment_share_its_places_and_leave_those_of_others() {
    let (address, _) = server(None).await;
    let outbound = Outbound::new(Secrets::default(), None).unwrap();
    let grants: Grants = serde_json::from_value(json!({ "http": [format!("http://{address}")] })).unwrap();
    let guest = |deployment: &str| {
        let lines = Arc::new(Lines::default());
        let access = outbound.access(deployment, &grants).unwrap();
        Guest { client: Client::new(Some(access), &Arc::new(Voice::new(lines.clone()))), lines }
    };
    let (one, mut same, mut other) = (guest("d"), guest("d"), guest("e"));
    let all = places(&one);
    let held = all.try_acquire_many_owned(HTTP_DEPLOYMENT_REQUESTS_MAX as u32).unwrap();
    let url = format!("http://{address}/");
    let hasty =
        RequestOptions { connect_timeout: Some(Duration::from_millis(1)), ..RequestOptions::default() };
    let sent = same.client.send_request(get(&url), Some(hasty), Box::new(async { Ok(()) }));
    let error = Box::into_pin(sent).await.err().unwrap();
    assert!(matches!(error, Error::ConnectionLimitReached), "{error:?}");
    assert_eq!(other.get(&url).await.unwrap().0, 200);
    drop(held);
    assert_eq!(same.get(&url).await.unwrap().0, 200);
    drop((one, same));
    assert!(guest("d").get(&url).await.is_ok());
    assert!(outbound.0.deployments.lock().len() <= 2);
}

#[tokio::test]
async fn what_waits_for_a_place_when_its_call_ends_is_never_sent() {
    let (address, seen) = server(None).await;
    let mut guest = Guest::of(json!({ "http": [format!("http://{address}")] }), &[], None);
    let url = format!("http://{address}/");
    let all = places(&guest);
    let held = all.try_acquire_many_owned(HTTP_DEPLOYMENT_REQUESTS_MAX as u32).unwrap();
    let mut begin = || Box::into_pin(guest.client.send_request(get(&url), None, Box::new(async { Ok(()) })));
    let (mut waiting, unseen) = (begin(), begin());
    assert!(waiting.as_mut().now_or_never().is_none());

    guest.client.end_call();
    drop(held);
    // Also one that nobody has looked at within the call.
    for left in [waiting, unseen] {
        let error = left.await.err().unwrap();
        assert!(matches!(error, Error::ConnectionTerminated), "{error:?}");
    }
    assert!(seen.lock().is_empty());
    assert_eq!(guest.get(&url).await.unwrap().0, 200, "the next call");
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_made_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut guest = Guest::of(json!({ "http": [format!("http://{address}")] }), &[], None);
    for _ in 0..3 {
        // Closed after one answer, without a word of warning.
        let one = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 16]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        };
        let url = format!("http://{address}/");
        let (answered, ()) = tokio::join!(guest.get(&url), one);
        assert_eq!(answered.unwrap().0, 200);
        let instance = guest.client.instance.clone().unwrap();
        while instance.pool.is_open() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn https_wants_a_certificate_of_a_trusted_issuer_for_the_name() {
    let certified = rcgen::generate_simple_self_signed(vec!["hooks.example.com".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    let (address, seen) = server(Some(TlsAcceptor::from(Arc::new(config)))).await;

    let url = |host: &str| format!("https://{host}.example.com:{}", address.port());
    let grants = json!({ "http": [
        { "url": url("hooks"), "private": true }, { "url": url("other"), "private": true }
    ] });
    let pem = certified.cert.pem();
    let mut trusting = Guest::of(grants.clone(), &[address], Some(&pem));
    assert_eq!(trusting.get(&url("hooks")).await.unwrap(), (200, "ok".into()));
    let (error, line) = trusting.refused(&url("other")).await;
    assert_eq!(error, "TlsCertificateError");
    assert!(line.starts_with(&format!("no connection to {}: TLS: ", url("other"))), "{line}");

    let mut other = Guest::of(grants, &[address], None);
    assert_eq!(other.refused(&url("hooks")).await.0, "TlsCertificateError");
    assert_eq!(seen.lock().len(), 1);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_when_the_guest_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut guest = Guest::of(json!({ "http": [format!("http://{address}")] }), &[], None);
    let options =
        RequestOptions { first_byte_timeout: Some(Duration::from_millis(50)), ..Default::default() };
    let sent = guest.client.send_request(
        get(&format!("http://{address}/")),
        Some(options),
        Box::new(async { Ok(()) }),
    );
    let error = Box::into_pin(sent).await.err().unwrap();
    assert!(matches!(error, Error::HttpResponseTimeout), "{error:?}");
}

#[test]
fn a_secret_that_is_not_there_is_named() {
    let outbound = Outbound::new(Secrets::default(), None).unwrap();
    let grants = json!({ "http": ["https://a.b"], "secrets": [{ "name": "gone", "header": "x" }] });
    let error = outbound.access("d", &serde_json::from_value(grants).unwrap()).err().unwrap();
    assert_eq!(error, "the server has no secret `gone`; its operator adds it to [secrets] of its config");
    assert!(Outbound::new(Secrets::default(), Some(b"nothing")).is_err());

    let mut secrets = Secrets::default();
    let place = crate::model::deployment::Destination::parse("https://hooks.example.com").unwrap();
    secrets.insert("hook", Secret::parse("hunter2").unwrap().only_for(vec![place])).unwrap();
    let outbound = Outbound::new(secrets, None).unwrap();
    let access = |url: &str| {
        let grants = json!({ "http": [url], "secrets": [{ "name": "hook", "header": "x" }] });
        outbound.access("d", &serde_json::from_value(grants).unwrap()).map(drop)
    };
    assert_eq!(access("https://hooks.example.com"), Ok(()));
    for place in ["https://*.example.com", "http://hooks.example.com:81", "https://hooks.example.com:444"] {
        let said = "it is none of its `hosts` in the server's config";
        assert_eq!(access(place), Err(format!("secret `hook` may not go to {place}: {said}")));
    }
}

#[tokio::test]
async fn a_played_world_is_asked_what_is_granted_and_nothing_else() {
    #[derive(Default)]
    struct World(Mutex<Vec<Asked>>);
    impl Outside for World {
        fn answer(&self, asked: Asked) -> Answered {
            self.0.lock().push(asked);
            Answered { body: "seen".into(), ..Answered::default() }
        }
    }
    let world = Arc::new(World::default());
    // The secret is none of this process's, and is not asked for.
    let secrets = json!([{ "name": "unknown", "header": "authorization" }]);
    let grants = json!({ "http": ["https://a.example"], "secrets": secrets });
    let access = HttpAccess::played(&serde_json::from_value(grants).unwrap(), world.clone()).unwrap();
    let lines = Arc::new(Lines::default());
    let client = Client::new(Some(access), &Arc::new(Voice::new(lines.clone())));
    let mut guest = Guest { client, lines };
    assert_eq!(guest.get("https://a.example/b?c").await.unwrap(), (200, "seen".into()));
    assert_eq!(guest.refused("https://b.example/").await.0, "HttpRequestDenied");

    let url = "https://a.example/b?c".to_owned();
    let asked = Asked { method: "GET".into(), url, headers: HeaderMap::new(), body: Bytes::new() };
    assert_eq!(*world.0.lock(), [asked]);
}
