//! Request counts, the request log, and expectations of the mock, with their failure messages.

use std::panic::{self, AssertUnwindSafe};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use webex_oauth::Callback;
use webex_oauth::testing::{Fault, MockEndpoint, MockUser, MockWebex};

use crate::support::json;

async fn log_in(mock: &MockWebex, email: &str) -> webex_oauth::TokenSet {
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    webex.login(pending, Callback::parse(mock.approve_as(&url, email)).unwrap()).await.unwrap().into_tokens()
}

/// Returns the panic message of a mock when it is dropped.
fn drop_panic_message(mock: MockWebex) -> Option<String> {
    let silent = panic::catch_unwind(AssertUnwindSafe(|| drop(mock)));
    silent.err().map(|panic| panic.downcast_ref::<String>().unwrap().clone())
}

#[tokio::test]
async fn requests_are_counted_per_endpoint_and_user() {
    let (jane, bob) = ("jane@example.com", "bob@example.com");
    let mock = MockWebex::builder().user(MockUser::new(jane)).user(MockUser::new(bob)).start().await;
    let webex = mock.client();
    let (janes, bobs) = (log_in(&mock, jane).await, log_in(&mock, bob).await);
    webex.refresh(&janes).await.unwrap();
    webex.refresh(&bobs).await.unwrap();
    webex.refresh(&bobs).await.unwrap();
    mock.on(MockEndpoint::Refresh).respond_with(Fault::status(400));
    webex.refresh(&janes).await.unwrap_err();
    webex.person(janes.access_token()).await.unwrap();

    assert_eq!((mock.exchanges(), mock.refreshes(), mock.token_requests()), (2, 4, 6));
    assert_eq!((mock.refreshes_for(jane), mock.refreshes_for(bob)), (1, 2), "those that were granted");
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = mock.approve_as(&url, bob);
    webex.login(pending, Callback::parse(&callback).unwrap()).await.unwrap();
    assert_eq!((mock.exchanges_for(jane), mock.exchanges_for(bob), mock.exchanges()), (1, 2, 3));
    assert_eq!((mock.requests_to(MockEndpoint::Person), mock.requests_to(MockEndpoint::path("/v1/people/me"))), (1, 1));
    assert_eq!((mock.requests_to(MockEndpoint::Any), mock.requests_to(MockEndpoint::Jwks)), (8, 0));
    assert!(mock.received(MockEndpoint::Any).is_empty(), "requests are logged only if that is enabled");
}

#[tokio::test]
async fn recorded_requests_redact_secrets_unless_enabled() {
    for shows_secrets in [false, true] {
        let builder = MockWebex::builder();
        let mock = if shows_secrets { builder.record_secrets() } else { builder.record_requests() }.start().await;
        let webex = mock.client();
        let tokens = log_in(&mock, "jane@example.com").await;
        webex.refresh(&tokens).await.unwrap();
        webex.person(tokens.access_token()).await.unwrap();

        let displayed: String =
            mock.received(MockEndpoint::Any).iter().map(|request| format!("{request} {request:?}")).collect();
        let basic = STANDARD.encode(format!("{}:{}", mock.client_id(), mock.client_secret()));
        for secret in [&*basic, tokens.refresh_token().unwrap().expose(), tokens.access_token().expose()] {
            assert_eq!(displayed.contains(secret), shows_secrets, "{displayed}");
        }
        let requests = mock.received(MockEndpoint::Token);
        let hidden = |name| requests[0].parameter(name) == Some("[redacted]");
        assert!(["code", "code_verifier"].into_iter().all(hidden) != shows_secrets);
        assert_eq!(requests[0].parameter("redirect_uri"), Some(&*mock.redirect_uri()));
        assert_eq!(requests[0].authorization() == Some("Basic [redacted]"), !shows_secrets);
        assert_eq!((requests[1].method(), requests[1].path()), ("POST", "/v1/access_token"));
        assert_eq!((requests[1].endpoint(), requests[1].status()), (Some(&MockEndpoint::Refresh), Some(200)));
        let person = &mock.received(MockEndpoint::Person)[0];
        assert!(person.authorization().unwrap().starts_with("Bearer ") && person.parameter("x").is_none());
    }
}

#[tokio::test]
async fn recorded_requests_name_applied_fault() {
    let mock = MockWebex::builder().record_requests().start().await;
    let webex = mock.client();
    let tokens = log_in(&mock, "jane@example.com").await;
    mock.on(MockEndpoint::Refresh).respond_with(Fault::status(400).json("{}")).then(Fault::lost_response());
    webex.refresh(&tokens).await.unwrap_err();
    webex.refresh(&tokens).await.unwrap();
    let became: Vec<_> =
        mock.received(MockEndpoint::Refresh).iter().map(|r| (r.status(), r.fault().map(str::to_owned))).collect();
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(became, [(Some(400), said("status 400")), (None, said("response lost")), (Some(200), None)]);
}

#[tokio::test]
async fn met_expectation_does_not_panic() {
    let mock = MockWebex::start().await;
    log_in(&mock, "jane@example.com").await;
    mock.expect(MockEndpoint::Exchange).times(1);
    mock.expect(MockEndpoint::Refresh).never();
    mock.expect(MockEndpoint::Token).at_least(1);
    mock.expect(MockEndpoint::Any).at_most(1);
    log_in(&mock, "jane@example.com").await;
    mock.verify();
    mock.verify();
    assert_eq!(drop_panic_message(mock), None);
}

#[tokio::test]
async fn last_clone_panics_with_received_requests() {
    let mock = MockWebex::start().await;
    let tokens = log_in(&mock, "jane@example.com").await;
    mock.expect(MockEndpoint::Refresh).times(2);
    mock.client().refresh(&tokens).await.unwrap();
    assert_eq!(drop_panic_message(mock.clone()), None, "this is not the last clone");
    assert_eq!(
        drop_panic_message(mock).unwrap(),
        "request expectations not met:\n  MockEndpoint::Refresh: expected 2, received 1\nreceived requests:\n  \
         POST /v1/access_token grant_type=refresh_token refresh_token=[redacted] -> 200"
    );
}

#[tokio::test]
async fn verify_panics_on_unmet_expectation_once() {
    let mock = MockWebex::start().await;
    mock.expect(MockEndpoint::Jwks).times(1);
    let said = panic::catch_unwind(AssertUnwindSafe(|| mock.verify())).unwrap_err();
    assert!(said.downcast_ref::<String>().unwrap().ends_with("expected 1, received 0\nno requests were received"));
    assert_eq!(drop_panic_message(mock), None, "once is enough");
}

/// A second panic would abort the process, with all other tests.
#[tokio::test]
async fn mock_does_not_panic_in_failing_test() {
    let mock = MockWebex::start().await;
    mock.expect(MockEndpoint::Jwks).times(1);
    let said = panic::catch_unwind(AssertUnwindSafe(move || {
        let _mock = mock;
        panic!("the test's own reason");
    }));
    assert_eq!(said.unwrap_err().downcast_ref::<&str>(), Some(&"the test's own reason"));
}

/// The tests of this crate use wiremock alongside the mock, and so may those of applications.
#[tokio::test]
async fn requests_to_other_server_are_not_counted() {
    let mock = MockWebex::start().await;
    let other = crate::support::server(json(200, "{}")).await;
    reqwest::Client::builder().no_proxy().build().unwrap().get(other.uri()).send().await.unwrap();
    assert_eq!(mock.requests_to(MockEndpoint::Any), 0);
}
