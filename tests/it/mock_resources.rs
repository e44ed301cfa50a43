//! Resources of the mock: API calls with and without a valid token, pages, items, and faults.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use reqwest::{Client, Method, header};
use serde_json::{Value, json};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::{Fault, LinkFault, MockEndpoint, MockService, MockUser, MockWebex, RetryAfter, WebexError};
use webex_oauth::{Callback, ErrorKind, ExchangeOptions, Session, TokenManager};

const UNAUTHORIZED: &str = "The request requires a valid access token set in the Authorization request header.";
const FORBIDDEN: &str = "The server understood the request, but refused to fulfill it because the access token is \
                         missing required scopes or the user is missing required roles or licenses.";
const NOT_FOUND: &str = "The requested resource could not be found.";
const MALFORMED: &str = "The request could not be understood by the server due to malformed syntax.";

/// A response with the headers that the tests inspect.
#[derive(Debug)]
struct ApiResponse {
    status: u16,
    link: Option<String>,
    tracking_id: String,
    reason: Option<String>,
    body: String,
}

impl ApiResponse {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn ids(&self) -> Vec<String> {
        let body = self.json();
        let items = body["items"].as_array().unwrap_or_else(|| panic!("no list: {self:?}"));
        items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns the URL of the next page.
    fn next(&self) -> Option<String> {
        let link = self.link.as_ref()?;
        Some(link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned())
    }

    #[track_caller]
    fn assert_error(&self, status: u16, message: &str) {
        let body = self.json();
        assert_eq!((self.status, body["message"].as_str()), (status, Some(message)), "{self:?}");
        assert!(body["errors"][0]["description"].is_string(), "{body}");
        assert_eq!(body["trackingId"], self.tracking_id, "{body}");
        assert!(self.reason.is_some(), "the cause is not reported: {self:?}");
    }
}

async fn send(method: Method, url: &str, authorization: Option<&str>, body: Option<&str>) -> ApiResponse {
    let http = Client::builder().no_proxy().build().unwrap();
    let mut request = http.request(method, url);
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    if let Some(body) = body {
        request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_owned());
    }
    let response = request.send().await.unwrap();
    let text = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (link, tracking_id, reason) = (text("link"), text("trackingid").unwrap_or_default(), text("x-mock-reason"));
    ApiResponse { status: response.status().as_u16(), link, tracking_id, reason, body: response.text().await.unwrap() }
}

/// A user of the mock with an access token.
struct Caller {
    origin: String,
    authorization: String,
}

impl Caller {
    async fn log_in(mock: &MockWebex, email: &str) -> Self {
        let webex = mock.client();
        let (url, pending) = webex.authorize().begin().unwrap();
        let callback = Callback::parse(mock.approve_as(&url, email)).unwrap();
        let login = webex.login(pending, callback).await.unwrap();
        Self::new(mock, login.tokens().access_token().expose())
    }

    fn new(mock: &MockWebex, token: &str) -> Self {
        let uri = reqwest::Url::parse(&mock.uri()).unwrap();
        Self { origin: uri.origin().ascii_serialization(), authorization: format!("Bearer {token}") }
    }

    async fn send(&self, method: Method, path: &str, body: Option<&str>) -> ApiResponse {
        let url = if path.starts_with('/') { format!("{}{path}", self.origin) } else { path.to_owned() };
        send(method, &url, Some(&self.authorization), body).await
    }

    async fn get(&self, path: &str) -> ApiResponse {
        self.send(Method::GET, path, None).await
    }
}

async fn start_with_jane() -> (MockWebex, Caller) {
    let mock = MockWebex::start().await;
    let jane = Caller::log_in(&mock, "jane@example.com").await;
    (mock, jane)
}

/// Starts a mock whose integration has these scopes, with a token of its user.
async fn start_with_scopes(scopes: &str) -> (MockWebex, Caller) {
    let mock = MockWebex::builder().scopes(scopes).start().await;
    let jane = Caller::log_in(&mock, "jane@example.com").await;
    (mock, jane)
}

fn rooms(count: usize) -> Vec<Value> {
    let kind = |number: usize| if number.is_multiple_of(2) { "group" } else { "direct" };
    (1..=count).map(|number| json!({"id": format!("R{number}"), "type": kind(number)})).collect()
}

// --- tokens and scopes

#[tokio::test]
async fn request_without_valid_token_returns_401() {
    let (mock, jane) = start_with_jane().await;
    let other = MockWebex::start().await;
    let foreign = Caller::log_in(&other, "jane@example.com").await.authorization;
    mock.resource("/v1/rooms", rooms(1));
    let basic = jane.authorization.replace("Bearer", "Basic");
    let cut = &jane.authorization[..jane.authorization.len() - 1];
    for authorization in [None, Some(""), Some("Bearer "), Some("Bearer x"), Some(&*basic), Some(&*foreign), Some(cut)]
    {
        for path in ["/v1/rooms", "/v1/rooms/R1", "/v1/rooms?max=0"] {
            let response = send(Method::GET, &format!("{}{path}", jane.origin), authorization, None).await;
            response.assert_error(401, UNAUTHORIZED);
            assert!(!response.body.contains("R1") || path.ends_with("R1"), "{response:?}");
        }
    }
    assert_eq!(jane.get("/v1/rooms").await.ids(), ["R1"]);
}

#[tokio::test]
async fn expired_or_revoked_token_returns_401() {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    mock.resource("rooms", rooms(1));
    let first = Caller::log_in(&mock, "jane@example.com").await;
    assert_eq!(first.get("/v1/rooms").await.status, 200);
    clock.advance(Duration::from_secs(14 * 86_400));
    first.get("/v1/rooms").await.assert_error(401, UNAUTHORIZED);

    let second = Caller::log_in(&mock, "jane@example.com").await;
    mock.expire_access_tokens("jane@example.com");
    second.get("/v1/rooms").await.assert_error(401, UNAUTHORIZED);

    let third = Caller::log_in(&mock, "jane@example.com").await;
    assert_eq!(third.get("/v1/rooms").await.status, 200);
    mock.revoke("jane@example.com");
    third.get("/v1/rooms").await.assert_error(401, UNAUTHORIZED);
}

#[tokio::test]
async fn self_contained_token_is_accepted_until_it_expires() {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    mock.resource("rooms", rooms(1));
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let code = webex.accept(pending, Callback::parse(mock.approve(&url)).unwrap()).unwrap();
    let login = webex.exchange_with(code, ExchangeOptions::new().self_contained_token()).await.unwrap();
    let token = login.tokens().access_token().expose();
    assert!(token.contains('.'));
    let jane = Caller::new(&mock, token);
    assert_eq!(jane.get("/v1/rooms").await.ids(), ["R1"]);
    clock.advance(Duration::from_secs(64_799));
    jane.get("/v1/rooms").await.assert_error(401, UNAUTHORIZED);
}

#[tokio::test]
async fn token_without_required_scope_returns_403() {
    let documented = [
        ("/v1/rooms", "spark:rooms_read", "spark:rooms_write"),
        ("/v1/messages", "spark:messages_read", "spark:messages_write"),
        ("/v1/memberships", "spark:memberships_read", "spark:memberships_write"),
        ("/v1/people", "spark:people_read", "spark-admin:people_write"),
        ("/v1/people", "spark-admin:people_read", "spark-admin:people_write"),
        ("/v1/teams", "spark:teams_read", "spark:teams_write"),
        ("/v1/team/memberships", "spark:team_memberships_read", "spark:team_memberships_write"),
        ("/v1/webhooks", "spark:webhooks_read", "spark:webhooks_write"),
        ("/v1/meetings", "meeting:schedules_read", "meeting:schedules_write"),
    ];
    for (path, read, write) in documented {
        for (scopes, status) in [(read, [200, 403]), (write, [403, 200]), ("spark:calls_read", [403, 403])] {
            let (mock, jane) = start_with_scopes(scopes).await;
            mock.resource(path, json!([]));
            let list = jane.get(&format!("{path}?roomId=R1&teamId=T1")).await;
            let created = jane.send(Method::POST, path, Some("{}")).await;
            assert_eq!([list.status, created.status], status, "{path} with {scopes}");
            for response in [list, created].iter().filter(|response| response.status == 403) {
                response.assert_error(403, FORBIDDEN);
            }
        }
    }
}

#[tokio::test]
async fn spark_all_includes_user_scopes_but_not_others() {
    let (mock, jane) = start_with_scopes("spark:all").await;
    for (path, requires, status) in [
        ("rooms", None, 200),
        ("meetings", None, 403),
        ("licenses", Some("spark-admin:licenses_read"), 403),
        ("licenses", Some("spark-admin:licenses_read spark:people_read"), 200),
        ("licenses", Some(""), 200),
        ("licenses", None, 200),
    ] {
        let resource = mock.resource(path, json!([]));
        if let Some(requires) = requires {
            resource.requires(requires);
        }
        assert_eq!(jane.get(&format!("/v1/{path}")).await.status, status, "{path} {requires:?}");
    }
}

#[tokio::test]
async fn write_scopes_default_to_read_scopes_for_unknown_resource() {
    let (mock, jane) = start_with_scopes("spark:calls_read").await;
    mock.resource("calls", json!([])).requires("spark:calls_read");
    assert_eq!(jane.send(Method::POST, "/v1/calls", Some("{}")).await.status, 200);
    mock.resource("calls", json!([])).requires("spark:calls_read").requires_to_write("spark:calls_write");
    assert_eq!(jane.get("/v1/calls").await.status, 200);
    jane.send(Method::POST, "/v1/calls", Some("{}")).await.assert_error(403, FORBIDDEN);
}

// --- invalid requests

#[tokio::test]
async fn unknown_path_or_item_returns_404() {
    let (mock, jane) = start_with_jane().await;
    mock.resource("rooms", rooms(2));
    mock.resource("organization", json!({"id": "O1"}));
    for path in [
        "/v1/rooms/R3",
        "/v1/rooms/",
        "/v1/rooms/R1/meetingInfo",
        "/v1/rooms/items",
        "/v1/room",
        "/rooms",
        "/v1/organization/O1",
    ] {
        jane.get(path).await.assert_error(404, NOT_FOUND);
    }
    jane.send(Method::DELETE, "/v1/rooms/R3", None).await.assert_error(404, NOT_FOUND);
    assert_eq!(jane.get("/v1/rooms/R2").await.json(), json!({"id": "R2", "type": "group"}));
    assert_eq!(jane.get("/v1/rooms/R%32").await.json()["id"], "R2");
    assert_eq!(jane.get("/v1/organization").await.json(), json!({"id": "O1"}));
}

#[tokio::test]
async fn invalid_max_returns_400_and_large_max_is_reduced() {
    let (mock, jane) = start_with_jane().await;
    mock.resource("rooms", rooms(1001));
    for max in ["0", "-1", "abc", "null", "1.5", "", "%20", "99999999999999999999999"] {
        jane.get(&format!("/v1/rooms?max={max}")).await.assert_error(400, MALFORMED);
    }
    for (query, count) in [("", 100), ("?max=1", 1), ("?max=1000", 1000), ("?max=5000", 1000)] {
        let response = jane.get(&format!("/v1/rooms{query}")).await;
        assert_eq!((response.ids().len(), response.next().is_some()), (count, true), "{query}");
    }
    mock.resource("meetings", rooms(101)).requires("");
    for (query, count) in [("", 10), ("?max=1000", 100)] {
        assert_eq!(jane.get(&format!("/v1/meetings{query}")).await.ids().len(), count, "{query}");
    }
}

#[tokio::test]
async fn cursor_of_other_list_user_or_mock_returns_400() {
    let users = ["jane@example.com", "bob@example.com"].map(MockUser::new);
    let [first, second] = users;
    let mock = MockWebex::builder().user(first).user(second).start().await;
    let jane = Caller::log_in(&mock, "jane@example.com").await;
    let bob = Caller::log_in(&mock, "bob@example.com").await;
    mock.resource("rooms", rooms(3));
    mock.resource("teams", rooms(3));
    let next = jane.get("/v1/rooms?max=1").await.next().unwrap();
    let cursor = next.split_once("cursor=").unwrap().1.to_owned();

    let (other, listener) = start_with_jane().await;
    other.resource("rooms", rooms(3));
    for (caller, path) in [
        (&jane, format!("/v1/teams?cursor={cursor}")),
        (&jane, format!("/v1/rooms?cursor={}", &cursor[1..])),
        (&jane, "/v1/rooms?cursor=".to_owned()),
        (&jane, "/v1/rooms?cursor=2".to_owned()),
        (&bob, format!("/v1/rooms?cursor={cursor}")),
        (&listener, format!("/v1/rooms?cursor={cursor}")),
    ] {
        caller.get(&path).await.assert_error(400, MALFORMED);
    }
    assert_eq!(jane.get(&next).await.ids(), ["R2"]);
    let token = Caller { authorization: format!("Bearer {cursor}"), ..jane };
    token.get("/v1/rooms").await.assert_error(401, UNAUTHORIZED);
}

#[tokio::test]
async fn unsupported_method_returns_405() {
    let (mock, jane) = start_with_jane().await;
    mock.resource("rooms", rooms(1));
    mock.resource("organization", json!({"id": "O1"}));
    for (method, path) in [
        (Method::PUT, "/v1/rooms/R1"),
        (Method::PATCH, "/v1/rooms"),
        (Method::POST, "/v1/rooms/R1"),
        (Method::DELETE, "/v1/rooms"),
        (Method::POST, "/v1/organization"),
        (Method::DELETE, "/v1/organization"),
    ] {
        let response = jane.send(method.clone(), path, Some("{}")).await;
        response.assert_error(405, "The HTTP method is not supported for this resource.");
    }
    assert_eq!(jane.send(Method::HEAD, "/v1/rooms", None).await.status, 405);
    assert_eq!(jane.get("/v1/rooms").await.ids(), ["R1"]);
}

#[tokio::test]
async fn missing_required_parameter_returns_400() {
    let (mock, jane) = start_with_jane().await;
    mock.resource("messages", json!([{"id": "M1", "roomId": "R1"}, {"id": "M2", "roomId": "R2"}]));
    for path in ["/v1/messages", "/v1/messages?roomId=", "/v1/messages?roomid=R1"] {
        jane.get(path).await.assert_error(400, MALFORMED);
    }
    assert_eq!(jane.get("/v1/messages?roomId=R2").await.ids(), ["M2"]);
    assert_eq!(jane.get("/v1/messages?roomId=R3").await.ids(), [""; 0]);
    assert_eq!(jane.get("/v1/messages/M1").await.status, 200, "an item needs no parameter");

    mock.resource("calls", json!([{"id": "C1"}])).requires_parameter("day");
    jane.get("/v1/calls").await.assert_error(400, MALFORMED);
    assert_eq!(jane.get("/v1/calls?day=1").await.ids(), ["C1"]);
}

#[tokio::test]
async fn created_item_requires_json_object() {
    let (mock, jane) = start_with_jane().await;
    let rooms = mock.resource("rooms", json!([]));
    for (body, status) in [(None, 415), (Some("{"), 415), (Some("[]"), 400), (Some("\"R1\""), 400)] {
        assert_eq!(jane.send(Method::POST, "/v1/rooms", body).await.status, status, "{body:?}");
    }
    assert_eq!(rooms.json(), json!([]));
}

#[tokio::test]
async fn path_or_value_that_cannot_be_served_panics() {
    let mock = MockWebex::start().await;
    for path in [
        "people/me",
        "/v1/access_token",
        "authorize",
        "consent",
        "authorizations/tokenExpiry",
        "",
        "/",
        "rooms/",
        "/v1/rooms?max=1",
        "a b",
    ] {
        let add = || drop(mock.resource(path, json!([])));
        let panic = catch_unwind(AssertUnwindSafe(add)).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.starts_with("invalid path \"/"), "{path}: {message}");
    }
    for value in [json!(null), json!("rooms"), json!([1]), json!([{}, []])] {
        assert!(catch_unwind(AssertUnwindSafe(|| drop(mock.resource("rooms", &value)))).is_err(), "{value}");
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(mock.resource_for("eve@example.com", "rooms", json!([]))))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(mock.resource("rooms", json!([])).page_size(0)))).is_err());
    mock.resource("people", json!([]));
    mock.resource("authorizations", json!([]));
}

// --- pages and items

#[tokio::test]
async fn pages_contain_each_item_once_and_keep_filters() {
    let (mock, jane) = start_with_jane().await;
    mock.resource("rooms", rooms(7));
    for (query, expected) in [
        ("?max=3", &["R1", "R2", "R3", "R4", "R5", "R6", "R7"][..]),
        ("?max=7", &["R1", "R2", "R3", "R4", "R5", "R6", "R7"]),
        ("?type=group&max=1&sortBy=created", &["R2", "R4", "R6"]),
        ("?max=2&type=direct", &["R1", "R3", "R5", "R7"]),
        ("?type=none", &[]),
    ] {
        let (mut found, mut next) = (Vec::new(), Some(format!("/v1/rooms{query}")));
        while let Some(url) = next {
            let page = jane.get(&url).await;
            found.extend(page.ids());
            next = page.next();
            if let Some(next) = &next {
                assert!(next.starts_with(&format!("{}/v1/rooms?", jane.origin)), "{next}");
                let rest = &next[next.find('?').unwrap()..];
                assert!(rest.starts_with(&format!("{query}&cursor=")), "{next} keeps the other parameters");
            }
        }
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn item_created_between_pages_moves_no_other() {
    let (mock, jane) = start_with_jane().await;
    mock.resource("rooms", rooms(4)).page_size(2);
    let first = jane.get("/v1/rooms?max=1000").await;
    assert_eq!(first.ids(), ["R1", "R2"]);
    jane.send(Method::POST, "/v1/rooms", Some("{}")).await;
    jane.send(Method::DELETE, "/v1/rooms/R1", None).await;
    assert_eq!(jane.get(&first.next().unwrap()).await.ids(), ["R3", "R4"]);
}

#[tokio::test]
async fn created_item_is_served_until_deleted() {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    let mock = MockWebex::builder().clock(clock).start().await;
    let jane = Caller::log_in(&mock, "jane@example.com").await;
    let rooms = mock.resource("rooms", rooms(1));
    let created = jane.send(Method::POST, "/v1/rooms", Some(r#"{"id": "mine", "title": "Alpha"}"#)).await.json();
    assert_eq!((&created["title"], &created["created"]), (&json!("Alpha"), &json!("2023-11-14T22:13:20.000Z")));
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("Y2lzY29zcGFyazovL3VzL1JPT00v"), "{id}: not the REST ID of a room");
    assert_eq!(jane.get(&format!("/v1/rooms/{id}")).await.json(), created);
    assert_eq!(rooms.json(), json!([created, {"id": "R1", "type": "direct"}]));

    let deleted = jane.send(Method::DELETE, &format!("/v1/rooms/{id}"), None).await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    jane.get(&format!("/v1/rooms/{id}")).await.assert_error(404, NOT_FOUND);
    assert_eq!(jane.get("/v1/rooms").await.ids(), ["R1"]);

    mock.resource("rooms", json!([]));
    assert_eq!(rooms.json(), Value::Null, "another resource replaced it");
}

#[tokio::test]
async fn filters_compare_members_of_items() {
    let (mock, jane) = start_with_jane().await;
    let people = json!([
        {"id": "P1", "emails": ["jane@example.com"], "isLocked": true, "extension": 7},
        {"id": "P2", "emails": ["bob@example.com", "b@example.com"], "isLocked": false},
    ]);
    mock.resource("people", people);
    for (query, expected) in [
        ("email=b%40example.com", &["P2"][..]),
        ("emails=jane%40example.com", &["P1"]),
        ("isLocked=true", &["P1"]),
        ("extension=7", &["P1"]),
        ("extension=8", &[]),
        ("isLocked=true&email=bob%40example.com", &[]),
        ("displayName=Jane", &["P1", "P2"]),
    ] {
        assert_eq!(jane.get(&format!("/v1/people?{query}")).await.ids(), expected, "{query}");
    }
    let me = jane.get("/v1/people/me").await.json();
    assert_eq!(me["emails"], json!(["jane@example.com"]), "still the mock's own person");
}

#[tokio::test]
async fn resource_of_user_is_invisible_to_others() {
    let [jane, bob, eve] = ["jane@example.com", "bob@example.com", "eve@example.com"].map(MockUser::new);
    let mock = MockWebex::builder().user(jane).user(bob).user(eve).start().await;
    let janes = mock.resource_for("jane@example.com", "rooms", rooms(2));
    mock.resource_for("jane@example.com", "settings", json!({"theme": "dark"}));
    let jane = Caller::log_in(&mock, "jane@example.com").await;
    let bob = Caller::log_in(&mock, "bob@example.com").await;
    let eve = Caller::log_in(&mock, "eve@example.com").await;
    assert_eq!(jane.get("/v1/rooms").await.ids(), ["R1", "R2"]);
    assert_eq!(bob.get("/v1/rooms").await.ids(), [""; 0]);
    bob.get("/v1/rooms/R1").await.assert_error(404, NOT_FOUND);
    bob.send(Method::DELETE, "/v1/rooms/R1", None).await.assert_error(404, NOT_FOUND);
    bob.get("/v1/settings").await.assert_error(404, NOT_FOUND);
    assert_eq!(jane.get("/v1/settings").await.json(), json!({"theme": "dark"}));

    bob.send(Method::POST, "/v1/rooms", Some("{}")).await;
    assert_eq!(bob.get("/v1/rooms").await.ids().len(), 1);
    assert_eq!(janes.json(), json!(rooms(2)), "unchanged");

    mock.resource("rooms", rooms(3));
    assert_eq!(eve.get("/v1/rooms").await.ids().len(), 3, "shared by users without their own");
    assert_eq!(jane.get("/v1/rooms").await.ids().len(), 2);
}

#[tokio::test]
async fn nested_resource_takes_precedence_over_item() {
    let (mock, jane) = start_with_jane().await;
    mock.resource("rooms", rooms(1));
    mock.resource("rooms/R1/meetingInfo", json!({"sipAddress": "1@example.com"}));
    mock.resource("rooms/R1", json!({"id": "R1", "title": "own"}));
    assert_eq!(jane.get("/v1/rooms/R1/meetingInfo").await.json()["sipAddress"], "1@example.com");
    assert_eq!(jane.get("/v1/rooms/R1").await.json()["title"], "own");
}

#[tokio::test]
async fn sample_rooms_are_consistent_and_repeatable() {
    let (mock, jane) = start_with_jane().await;
    mock.sample_rooms("jane@example.com");
    let rooms = jane.get("/v1/rooms").await;
    assert_eq!(rooms.ids().len(), 3);
    let me = jane.get("/v1/people/me").await.json();
    for room in rooms.json()["items"].as_array().unwrap() {
        assert_eq!(room["creatorId"], me["id"]);
        let id = room["id"].as_str().unwrap();
        let messages = jane.get(&format!("/v1/messages?roomId={id}")).await.json();
        let messages = messages["items"].as_array().unwrap();
        let times: Vec<_> = messages.iter().map(|message| message["created"].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|later, earlier| later > earlier), "latest first: {times:?}");
        assert_eq!(room["lastActivity"], times[0]);
        let members = jane.get(&format!("/v1/memberships?roomId={id}")).await.json();
        let emails: Vec<_> = (0..2).map(|index| members["items"][index]["personEmail"].as_str().unwrap()).collect();
        assert_eq!(emails, ["jane@example.com", "bob@example.com"]);
        assert!(messages.iter().all(|message| emails.contains(&message["personEmail"].as_str().unwrap())));
    }
    let (other, again) = start_with_jane().await;
    other.sample_rooms("jane@example.com");
    assert_eq!(again.get("/v1/rooms").await.ids(), rooms.ids());
}

// --- applications, faults, and the request log

/// A program that lists rooms. With the fault that motivated this resource, it omits the token.
async fn count_rooms(mock: &MockWebex, token: Option<&str>) -> Result<usize, String> {
    let mut request = Client::builder().no_proxy().build().unwrap().get(format!("{}/rooms", mock.uri()));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    match body["items"].as_array() {
        Some(items) => Ok(items.len()),
        None => Err(format!("{status}: {}", body["message"].as_str().unwrap_or_default())),
    }
}

#[tokio::test]
async fn program_that_omits_token_fails() {
    let (mock, jane) = start_with_jane().await;
    mock.resource("rooms", rooms(2));
    let token = jane.authorization.strip_prefix("Bearer ");
    assert_eq!(count_rooms(&mock, token).await, Ok(2));
    assert_eq!(count_rooms(&mock, None).await, Err(format!("401: {UNAUTHORIZED}")));
}

async fn start_with_session() -> (MockWebex, ManualClock, Session) {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), login).await.unwrap();
    (mock, clock, session)
}

#[tokio::test]
async fn session_refreshes_after_401_of_resource() {
    let (mock, clock, session) = start_with_session().await;
    mock.resource("rooms", rooms(2));
    clock.advance(Duration::from_secs(30));
    mock.expire_access_tokens("jane@example.com");
    mock.expect(MockEndpoint::resource("rooms")).times(2);

    let list = session.get_json::<Value>("rooms").await.unwrap();
    assert_eq!(list, json!({ "items": rooms(2) }));
    assert_eq!(mock.refreshes(), 1);
    mock.verify();

    mock.resource("meetings", json!([]));
    let error = session.get_json::<Value>("meetings").await.unwrap_err();
    assert!(error.is_misconfigured(), "{error:#}");
    assert_eq!(error.server().and_then(|server| server.status()), Some(403));
}

#[tokio::test]
async fn session_posts_item_to_resource() {
    let (mock, _, session) = start_with_session().await;
    let messages = mock.resource("messages", json!([]));
    let message = json!({"roomId": "R1", "text": "Hello"});
    let created = session.request(Method::POST, "messages").json(&message).fetch::<Value>().await.unwrap();
    assert_eq!(messages.json(), json!([created]));
    let path = format!("messages/{}", created["id"].as_str().unwrap());
    assert_eq!(session.request(Method::DELETE, path).send().await.unwrap().status(), 204);
    assert_eq!(messages.json(), json!([]));
}

#[tokio::test]
async fn session_lists_all_items_despite_link_faults() {
    let (mock, _, session) = start_with_session().await;
    let ids = async || {
        let items = session.list::<Value>("rooms?type=group").try_collect().await?;
        Ok(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    for fault in [None, Some(LinkFault::NullMax), Some(LinkFault::MissingFilters)] {
        let resource = mock.resource("rooms", rooms(8)).page_size(3);
        if let Some(fault) = fault {
            resource.link_fault(fault);
        }
        assert_eq!(ids().await.unwrap(), ["R2", "R4", "R6", "R8"], "{fault:?}");
    }
    mock.resource("rooms", rooms(8)).page_size(3).link_fault(LinkFault::SamePage);
    let repeated: Result<_, webex_oauth::Error> = ids().await;
    assert!(repeated.unwrap().starts_with(&["R2", "R4", "R6"].map(str::to_owned)), "the list ends");

    mock.resource("rooms", rooms(8)).page_size(3).link_fault(LinkFault::OtherHost);
    let error = ids().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ApiRequest, "{error:#}");
}

#[tokio::test]
async fn fault_at_resource_covers_its_items() {
    let (mock, jane) = start_with_jane().await;
    let rooms = mock.resource("rooms", rooms(2));
    let busy = Fault::status(429).retry_after(RetryAfter::Seconds(7));
    let faults = mock.on(rooms.endpoint()).respond_with(busy).then(WebexError::Unavailable);
    faults.then(WebexError::AccessTokenRefused).then(Fault::set_member("items", "[]"));
    let statuses =
        [jane.get("/v1/rooms").await.status, jane.get("/v1/rooms/R1").await.status, jane.get("/v1/rooms").await.status];
    assert_eq!(statuses, [429, 503, 401]);
    assert_eq!(jane.get("/v1/rooms").await.ids(), [""; 0]);
    assert_eq!(jane.get("/v1/rooms").await.ids(), ["R1", "R2"]);
    assert_eq!((mock.faults_left(), mock.requests_to(MockEndpoint::resource("/v1/rooms"))), (0, 5));

    mock.on(MockEndpoint::resource("rooms")).respond_with(WebexError::BadGateway).until_cleared();
    mock.resource("teams", json!([]));
    assert_eq!(jane.get("/v1/teams").await.status, 200, "another resource");
    mock.on(MockEndpoint::resource("/v1/rooms")).clear();
    assert_eq!(jane.get("/v1/rooms").await.status, 200);
}

#[tokio::test]
async fn request_log_contains_endpoint_and_page_size() {
    let mock = MockWebex::builder().record_requests().start().await;
    let jane = Caller::log_in(&mock, "jane@example.com").await;
    mock.resource("rooms", rooms(3));
    jane.get("/v1/rooms?max=2").await;
    jane.get("/v1/rooms/R1").await;
    jane.get("/v1/teams").await;
    let received = mock.received(MockEndpoint::resource("rooms"));
    let endpoint = MockEndpoint::resource("/v1/rooms");
    assert!(received.iter().all(|request| request.endpoint() == Some(&endpoint)), "{received:?}");
    let lines: Vec<_> = received.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["GET /v1/rooms max=2 -> 200", "GET /v1/rooms/R1 -> 200"]);
    assert_eq!(received[0].authorization(), Some("Bearer [redacted]"));
    assert_eq!(mock.requests_to(MockEndpoint::path("/v1/rooms")), 1);
    assert_eq!(mock.received(MockEndpoint::path("/v1/teams"))[0].endpoint(), None);
}

#[tokio::test]
async fn link_fault_changes_next_page() {
    let (mock, jane) = start_with_jane().await;
    let messages: Vec<_> = (1..=6).map(|n| json!({"id": format!("M{n}"), "roomId": format!("R{}", n % 2)})).collect();
    let first = async |fault| {
        mock.resource("messages", &messages).link_fault(fault);
        jane.get("/v1/messages?roomId=R1&max=2").await.next().unwrap()
    };
    let null_max = first(LinkFault::NullMax).await;
    jane.get(&null_max).await.assert_error(400, MALFORMED);
    assert_eq!(jane.get(&null_max.replace("max=null", "max=2")).await.ids(), ["M5"]);

    let unfiltered = first(LinkFault::MissingFilters).await;
    jane.get(&unfiltered).await.assert_error(400, MALFORMED);
    mock.resource("messages", &messages).link_fault(LinkFault::MissingFilters).requires_parameter("max");
    assert_eq!(jane.get(&unfiltered).await.ids(), ["M5", "M6"], "items of another room");

    let second = jane.get(&first(LinkFault::SamePage).await).await;
    assert_eq!(second.ids(), ["M1", "M3"]);
    assert_eq!(second.next(), Some(first(LinkFault::SamePage).await), "the same URL forever");

    assert!(first(LinkFault::OtherHost).await.starts_with("https://webex.invalid/v1/messages?"));
}

#[tokio::test]
async fn resource_works_with_each_service() {
    for (service, path) in [(MockService::WebexGov, "/v1/rooms"), (MockService::Meetings, "/v1/oauth2/rooms")] {
        let mock = MockWebex::builder().service(service).start().await;
        let jane = Caller::log_in(&mock, "jane@example.com").await;
        mock.resource("rooms", rooms(1)).requires("");
        assert_eq!(jane.get(path).await.ids(), ["R1"], "{service:?}");
        send(Method::GET, &format!("{}{path}", jane.origin), None, None).await.assert_error(401, UNAUTHORIZED);
        let cut = Caller { authorization: jane.authorization.replace("Bearer ", "Bearer x"), ..jane };
        cut.get(path).await.assert_error(401, UNAUTHORIZED);
    }
}
