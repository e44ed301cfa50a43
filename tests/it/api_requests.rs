//! Requests to the Webex API by path, JSON responses, and lists over several pages.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use webex_oauth::clock::{Clock as _, ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::{ErrorKind, Service, Session, TokenManager};
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{self, ACCESS_TOKEN, TOKENS, builder, tokens};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Room {
    title: String,
}

/// A server with a base URL that ends in `/v1`, and a session of it.
async fn start() -> (MockServer, ManualClock, Session) {
    start_at(ManualClock::new(NOW)).await
}

async fn start_at(clock: ManualClock) -> (MockServer, ManualClock, Session) {
    let server = MockServer::start().await;
    Mock::given(path("/v1/access_token")).respond_with(support::json(200, TOKENS)).mount(&server).await;
    let service = Service::webex().with_base_url(format!("{}/v1", server.uri()));
    let webex = builder(service).clock(clock.clone()).build().unwrap();
    let tokens = tokens(&webex).await;
    let session = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = session.put(&TokenKey::new("jane").unwrap(), tokens).await.unwrap();
    (server, clock, session)
}

/// The URLs of all requests except those for tokens, without the origin.
async fn received(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    let urls = requests.iter().map(|request| match request.url.query() {
        Some(query) => format!("{}?{query}", request.url.path()),
        None => request.url.path().to_owned(),
    });
    urls.filter(|url| !url.contains("access_token")).collect()
}

async fn respond(server: &MockServer, at: &str, response: ResponseTemplate) {
    Mock::given(path(at)).respond_with(response).mount(server).await;
}

// --- paths

#[tokio::test]
async fn relative_paths_are_resolved_below_base_url() {
    let (server, _, session) = start().await;
    respond(&server, "/v1/rooms/R%2F1", support::json(200, "{}")).await;
    let absolute = format!("{}/v1/rooms/R%2F1", server.uri());
    for path in ["rooms/R%2F1", "/rooms/R%2F1", "/v1/rooms/R%2F1", "v1/rooms/R%2F1", &absolute] {
        session.get_json::<Value>(path).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    assert_eq!(received(&server).await, ["/v1/rooms/R%2F1"; 5]);
}

#[tokio::test]
async fn path_that_leaves_base_url_is_rejected_before_a_token_is_requested() {
    let (server, clock, session) = start().await;
    // An expired token would be refreshed by any request.
    clock.advance(Duration::from_secs(15 * 24 * 60 * 60));
    let sent = server.received_requests().await.unwrap().len();
    let port = server.address().port();
    let foreign = [
        "//evil.example/rooms".to_owned(),
        r"\\evil.example\rooms".to_owned(),
        "https:evil.example/rooms".to_owned(),
        "https:///evil.example/rooms".to_owned(),
        "https://evil.example/v1/rooms".to_owned(),
        "https://webexapis.com@evil.example/v1/rooms".to_owned(),
        "http://webexapis.com/v1/rooms".to_owned(),
        format!("ftp://127.0.0.1:{port}/v1/rooms"),
        format!("http://user@127.0.0.1:{port}/v1/rooms"),
        format!("http://127.0.0.1:{port}/v1/../admin"),
        "../admin".to_owned(),
        "rooms/..".to_owned(),
        "rooms/./R1".to_owned(),
        "rooms/%2e%2e/admin".to_owned(),
        "rooms/%2E./admin".to_owned(),
        "rooms/..%2fadmin".to_owned(),
        "rooms/x%5C..%5cadmin".to_owned(),
        "rooms//R1".to_owned(),
        "javascript:alert(1)".to_owned(),
        "rooms\r\nX-Injected: 1".to_owned(),
        "rooms?x=1\nX-Injected: 1".to_owned(),
        "rooms/my room".to_owned(),
        "rooms/r\u{e4}ume".to_owned(),
        "rooms#top".to_owned(),
        String::new(),
        "?max=1".to_owned(),
    ];
    for path in foreign {
        let error = session.get_json::<Value>(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path:?}: {error}");
        let error = session.list::<Value>(&path).try_next().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path:?}: {error}");
    }
    assert_eq!(server.received_requests().await.unwrap().len(), sent, "neither a refresh nor a request was sent");
}

#[tokio::test]
async fn query_parameters_are_percent_encoded_and_added() {
    #[derive(serde::Serialize)]
    struct Filter<'a> {
        email: &'a str,
        max: u32,
        cursor: Option<&'a str>,
    }
    let (server, _, session) = start().await;
    respond(&server, "/v1/people", support::json(200, "{}")).await;
    let filter = Filter { email: "jane+test@example.com", max: 5, cursor: None };
    session.request(Method::GET, "people?a=%20").query(&filter).query(&[("b", true)]).fetch::<Value>().await.unwrap();
    session.request(Method::GET, "people").query(&json!({})).fetch::<Value>().await.unwrap();
    assert_eq!(
        received(&server).await,
        ["/v1/people?a=%20&email=jane%2Btest%40example.com&max=5&b=true", "/v1/people"]
    );
}

#[tokio::test]
async fn invalid_path_with_password_or_fragment_is_not_quoted() {
    let (_server, _, session) = start().await;
    for path in ["https://user:PLANTED@webexapis.com//v1", "rooms#access_token=PLANTED", "rooms /x?q=PLANTED"] {
        let error = session.get_json::<Value>(path).await.unwrap_err();
        assert!(!format!("{error:#} {error:?}").contains("PLANTED"), "{error}");
    }
}

#[tokio::test]
async fn query_with_nested_value_and_body_that_is_not_json_are_rejected() {
    let (server, _, session) = start().await;
    let request = || session.request(Method::GET, "people");
    let body = std::collections::BTreeMap::from([((1, 2), 3)]);
    for (request, problem) in [
        (request().query(&json!({ "id": ["1", "2"] })), "\"id\" is not a string"),
        (request().query(&"id=1"), "use a struct, a map, or a list of pairs"),
        (request().query(&[1, 2]), "pairs of a name and a value"),
        (request().json(&body), "cannot be serialized as JSON"),
    ] {
        let error = request.send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(problem), "{error}");
    }
    assert_eq!(received(&server).await, [""; 0]);
}

// --- responses

#[tokio::test]
async fn json_body_is_sent_and_response_is_deserialized() {
    let (server, _, session) = start().await;
    let body = json!({ "title": "Ops" });
    Mock::given(method("POST"))
        .and(wiremock::matchers::body_json(&body))
        .and(wiremock::matchers::header("authorization", format!("Bearer {ACCESS_TOKEN}")))
        .and(wiremock::matchers::header("content-type", "application/json"))
        .respond_with(support::json(200, "\u{feff}{\"title\":\"Ops\",\"new\":[1]}"))
        .mount(&server)
        .await;
    let room: Room = session.request(Method::POST, "rooms").json(&body).fetch().await.unwrap();
    assert_eq!(room, Room { title: "Ops".into() });
}

#[tokio::test]
async fn empty_response_is_deserialized_as_null() {
    let (server, _, session) = start().await;
    respond(&server, "/v1/rooms/R1", ResponseTemplate::new(204)).await;
    session.request(Method::DELETE, "rooms/R1").fetch::<()>().await.unwrap();
    assert_eq!(session.get_json::<Option<Room>>("rooms/R1").await.unwrap(), None);
    let error = session.get_json::<Room>("rooms/R1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ApiRequest);
    assert!(error.to_string().contains("no body"), "{error}");
}

#[tokio::test]
async fn error_response_returns_message_tracking_id_and_retry_after() {
    let (server, _, session) = start().await;
    let response = |status: u16, text: &str| {
        let body = json!({ "message": text, "errors": [{ "description": text }], "trackingId": "ROUTER_1" });
        ResponseTemplate::new(status).set_body_json(body)
    };
    respond(&server, "/v1/rooms/1", response(404, "Could not find a room with the given id.")).await;
    respond(&server, "/v1/rooms/2", response(403, "Access denied.")).await;
    respond(&server, "/v1/rooms/3", response(429, "Too many.").insert_header("Retry-After", "7")).await;
    respond(&server, "/v1/rooms/4", response(423, "Locked.").insert_header("Retry-After", "9")).await;

    let error = session.get_json::<Room>("rooms/1").await.unwrap_err();
    assert_eq!((error.kind(), error.tracking_id()), (ErrorKind::ApiRequest, Some("ROUTER_1")));
    assert_eq!(error.server().and_then(|server| server.status()), Some(404));
    assert!(error.to_string().contains("Could not find a room with the given id."), "{error}");
    assert!(!error.is_retryable() && !error.is_login_required() && !error.is_misconfigured());

    assert!(session.get_json::<Room>("rooms/2").await.unwrap_err().is_misconfigured());
    for (path, seconds) in [("rooms/3", 7), ("rooms/4", 9)] {
        let error = session.get_json::<Room>(path).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
    }
}

#[tokio::test]
async fn response_of_another_type_is_error_without_its_values() {
    let (server, _, session) = start().await;
    for (at, body, problem) in [
        ("/v1/1", r#"{"title":"PLANTED","secret":1}"#, ""),
        ("/v1/2", r#"{"name":"PLANTED"}"#, "missing field `title` at line 1"),
        ("/v1/3", r#"{"title":["PLANTED"]}"#, "value of another type at line 1"),
        ("/v1/4", r#""PLANTED""#, "value of another type at line 1"),
        ("/v1/5", "<html>PLANTED</html>", "not JSON"),
    ] {
        respond(&server, at, support::json(200, body)).await;
        let Err(error) = session.get_json::<Room>(&at[4..]).await else {
            assert_eq!(problem, "");
            continue;
        };
        assert_eq!(error.kind(), ErrorKind::ApiRequest);
        let displayed = format!("{error:#} {error:?} {error:#?}");
        assert!(!problem.is_empty() && displayed.contains(problem) && !displayed.contains("PLANTED"), "{displayed}");
        assert_eq!(error.is_retryable(), at == "/v1/5", "{displayed}");
    }
}

#[tokio::test]
async fn error_that_echoes_access_token_does_not_print_it() {
    let (server, _, session) = start().await;
    respond(&server, "/v1/x", support::json(400, &json!({ "message": ACCESS_TOKEN }).to_string())).await;
    let error = session.get_json::<Value>("x").await.unwrap_err();
    assert!(!format!("{error:#} {error:#?}").contains(ACCESS_TOKEN));
}

#[tokio::test]
async fn rate_limited_request_is_repeated_within_limit_only() {
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::LOCKED] {
        let (server, clock, session) = start_at(ManualClock::new(NOW).auto_advance()).await;
        let limited = ResponseTemplate::new(status).insert_header("Retry-After", "10");
        Mock::given(method("POST")).respond_with(limited).up_to_n_times(2).mount(&server).await;
        respond(&server, "/v1/messages", support::json(200, "{}")).await;

        let request = || session.request(Method::POST, "messages").json(&json!({ "text": "hello" }));
        let error = request().fetch::<Value>().await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(10)), "no wait by default");
        let response = request().max_rate_limit_wait(Duration::from_secs(9)).send().await.unwrap();
        assert_eq!(response.status(), status, "the wait would be longer than the limit");

        server.reset().await;
        let limited = ResponseTemplate::new(status).insert_header("Retry-After", "10");
        Mock::given(method("POST")).respond_with(limited).up_to_n_times(2).mount(&server).await;
        respond(&server, "/v1/messages", support::json(200, "{}")).await;
        request().max_rate_limit_wait(Duration::from_secs(20)).fetch::<Value>().await.unwrap();
        assert_eq!(clock.now().since(NOW), Duration::from_secs(20));
        let bodies = server.received_requests().await.unwrap();
        assert_eq!(bodies.iter().filter(|request| request.body == br#"{"text":"hello"}"#).count(), 3);
    }
}

// --- lists

fn page(titles: &[&str], next: Option<&str>) -> ResponseTemplate {
    let items: Vec<_> = titles.iter().map(|title| json!({ "title": title })).collect();
    let response = ResponseTemplate::new(200).set_body_json(json!({ "items": items }));
    match next {
        Some(next) => response.insert_header("Link", next),
        None => response,
    }
}

async fn titles(session: &Session, path: &str) -> Vec<String> {
    session.list::<Room>(path).try_collect().await.unwrap().into_iter().map(|room| room.title).collect()
}

#[tokio::test]
async fn list_returns_items_of_all_pages() {
    let (server, _, session) = start().await;
    let next = format!("<{0}/v1/x>; rel=\"first\", <{0}/v1/rooms?cursor=a,b&max=2>;rel=next", server.uri());
    Mock::given(query_param("cursor", "a,b")).respond_with(page(&["c"], None)).mount(&server).await;
    respond(&server, "/v1/rooms", page(&["a", "b"], Some(&next))).await;
    assert_eq!(titles(&session, "rooms?max=2").await, ["a", "b", "c"]);
}

#[tokio::test]
async fn next_link_loses_null_and_keeps_forgotten_parameters() {
    let (server, _, session) = start().await;
    let next = format!("<{}/v1/messages?max=null&cursor=1>; rel=\"next\"", server.uri());
    Mock::given(query_param("cursor", "1")).respond_with(page(&["b"], None)).mount(&server).await;
    respond(&server, "/v1/messages", page(&["a"], Some(&next))).await;
    assert_eq!(titles(&session, "messages?roomId=R1&mentionedPeople=me&max=1").await, ["a", "b"]);
    assert_eq!(received(&server).await[1], "/v1/messages?cursor=1&roomId=R1&mentionedPeople=me&max=1");
}

#[tokio::test]
async fn list_stops_at_link_that_was_already_followed() {
    let (server, _, session) = start().await;
    let link = |cursor| format!("<{}/v1/rooms?cursor={cursor}>; rel=\"next\"", server.uri());
    Mock::given(query_param("cursor", "1")).respond_with(page(&["b"], Some(&link(2)))).mount(&server).await;
    Mock::given(query_param("cursor", "2")).respond_with(page(&["c"], Some(&link(1)))).mount(&server).await;
    respond(&server, "/v1/rooms", page(&["a"], Some(&link(1)))).await;
    assert_eq!(titles(&session, "rooms").await, ["a", "b", "c"]);
}

#[tokio::test]
async fn link_to_another_host_is_rejected_without_request() {
    let (server, _, session) = start().await;
    let foreign = MockServer::start().await;
    let next = format!("<http://localhost:{}/v1/rooms>; rel=\"next\"", foreign.address().port());
    respond(&server, "/v1/rooms", page(&["a"], Some(&next))).await;
    let mut rooms = session.list::<Room>("rooms");
    assert_eq!(rooms.try_next().await.unwrap(), Some(Room { title: "a".into() }));
    let error = rooms.try_next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ApiRequest);
    assert!(!format!("{error:#}").contains("localhost"), "{error}");
    assert_eq!(rooms.try_next().await.unwrap(), None, "the list has ended");
    assert!(foreign.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn failed_page_is_requested_again_by_next_call() {
    let (server, _, session) = start().await;
    let next = format!("<{}/v1/rooms?cursor=1>; rel=\"next\"", server.uri());
    Mock::given(query_param("cursor", "1"))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(query_param("cursor", "1")).respond_with(page(&["b"], None)).mount(&server).await;
    respond(&server, "/v1/rooms", page(&["a"], Some(&next))).await;
    let mut rooms = session.list::<Room>("rooms");
    assert_eq!(rooms.try_next().await.unwrap(), Some(Room { title: "a".into() }));
    assert!(rooms.try_next().await.unwrap_err().is_retryable());
    assert_eq!(rooms.try_next().await.unwrap(), Some(Room { title: "b".into() }));
    assert_eq!(rooms.try_next().await.unwrap(), None);
    assert_eq!(rooms.try_next().await.unwrap(), None, "the end is final");
}

#[tokio::test]
async fn item_of_another_type_does_not_end_the_list() {
    let (server, _, session) = start().await;
    let body = json!({ "items": [{ "title": "a" }, { "name": "PLANTED" }, { "title": "c" }] });
    respond(&server, "/v1/rooms", ResponseTemplate::new(200).set_body_json(body)).await;
    let mut rooms = session.list::<Room>("rooms");
    assert_eq!(rooms.try_next().await.unwrap(), Some(Room { title: "a".into() }));
    let error = rooms.try_next().await.unwrap_err();
    assert!(error.to_string().contains("missing field `title`"), "{error}");
    assert_eq!(rooms.try_next().await.unwrap(), Some(Room { title: "c".into() }));
}

#[tokio::test]
async fn list_at_reads_another_member_and_list_names_the_one_it_found() {
    let (server, _, session) = start().await;
    respond(&server, "/v1/locations", support::json(200, r#"{"locations":[{"title":"a"}],"total":1}"#)).await;
    let error = session.list::<Room>("locations").try_next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ApiRequest);
    assert!(error.to_string().contains("found `locations`; name the member with `list_at(..)`"), "{error}");
    let mut locations = session.list::<Room>("locations");
    locations.try_next().await.unwrap_err();
    assert_eq!(locations.try_next().await.unwrap(), None, "the page is not requested again");
    let found = session.list_at::<Room>("locations", "locations").try_collect().await.unwrap();
    assert_eq!(found, [Room { title: "a".into() }]);
}

#[tokio::test]
async fn dropped_try_next_future_loses_no_item() {
    let (server, _, session) = start().await;
    respond(&server, "/v1/rooms", page(&["a"], None)).await;
    let mut rooms = session.list::<Room>("rooms");
    {
        let mut next = std::pin::pin!(rooms.try_next());
        assert!(std::future::poll_fn(|context| std::task::Poll::Ready(next.as_mut().poll(context).is_pending())).await);
    }
    assert_eq!(rooms.try_next().await.unwrap(), Some(Room { title: "a".into() }));
    assert_eq!(received(&server).await.len(), 1, "the request that was begun is continued");
}

#[test]
fn api_futures_are_send_and_streams_are_unpin() {
    fn is_send<T: Send>(_: &T) {}
    fn check(session: &Session) {
        is_send(&session.get_json::<Room>("rooms"));
        is_send(&session.request(Method::GET, "rooms").send());
        let mut rooms = session.list::<Room>("rooms");
        is_send(&rooms.try_next());
        let _: &dyn futures_core::Stream<Item = webex_oauth::Result<Room>> = &rooms;
        let _: &(dyn std::any::Any + Send + Unpin) = &rooms;
    }
    let _ = check;
}
