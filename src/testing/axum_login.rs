//! Logins of test clients in axum applications.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;

use ::axum::body::Body;
use ::axum::response::Response;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderValue, Request, Uri};
use tower_service::Service;

use crate::testing::mock::MockWebex;

impl MockWebex {
    /// Completes a login in `app` as the first user, and returns the value of the `Cookie` header
    /// for further requests (feature `axum`).
    ///
    /// `app` is a router, and needs no server. `login_path` is the path of its login. It may belong
    /// to [`WebexAuth`](crate::axum::WebexAuth) or to handlers of the application. The client of
    /// the application must use this mock.
    ///
    /// # Panics
    ///
    /// Panics if the application or the mock does not redirect, or if the callback fails.
    ///
    /// # Example
    ///
    /// ```
    /// use axum::Router;
    /// use axum::body::Body;
    /// use axum::http::{Request, StatusCode};
    /// use axum::routing::get;
    /// use tower::ServiceExt as _;
    /// use webex_oauth::axum::{WebexAuth, WebexSession};
    /// use webex_oauth::testing::MockWebex;
    /// # use webex_oauth::cookies::{EncryptionKey, EncryptionKeys};
    /// # use webex_oauth::{TokenManager, store::MemoryStore};
    ///
    /// async fn secret(_: WebexSession) -> &'static str {
    ///     "secret"
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mock = MockWebex::start().await; // redirects to http://localhost:8080/callback
    /// # let manager = TokenManager::new(mock.client(), MemoryStore::new())?;
    /// # let auth = WebexAuth::builder(manager, EncryptionKeys::new("1", EncryptionKey::generate()?)?).build()?;
    /// let app = Router::new()
    ///     .route("/secret", get(secret))
    ///     .merge(auth.routes())
    ///     .layer(auth.layer());
    ///
    /// let cookie = mock.log_in(&app, "/cisco").await;
    ///
    /// let request = Request::get("/secret").header("cookie", cookie).body(Body::empty())?;
    /// assert_eq!(app.oneshot(request).await?.status(), StatusCode::OK);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn log_in<S>(&self, app: &S, login_path: &str) -> HeaderValue
    where
        S: Service<Request<Body>, Response = Response> + Clone,
        S::Error: fmt::Debug,
    {
        log_in(app, login_path, |url| self.approve(url)).await
    }

    /// Completes a login in `app` as the user with this e-mail address. Otherwise identical to
    /// [`log_in`](Self::log_in).
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`log_in`](Self::log_in), and if the mock has no such
    /// user.
    pub async fn log_in_as<S>(&self, app: &S, login_path: &str, email: &str) -> HeaderValue
    where
        S: Service<Request<Body>, Response = Response> + Clone,
        S::Error: fmt::Debug,
    {
        log_in(app, login_path, |url| self.approve_as(url, email)).await
    }
}

async fn log_in<S>(app: &S, login_path: &str, approve: impl FnOnce(&str) -> String) -> HeaderValue
where
    S: Service<Request<Body>, Response = Response> + Clone,
    S::Error: fmt::Debug,
{
    let mut cookies = BTreeMap::new();
    let url = redirect_target(app, login_path, &mut cookies).await;
    let callback = approve(&url);
    let callback: Uri = parse(callback);
    let path = callback.path_and_query().map_or("/", |path| path.as_str());
    redirect_target(app, path, &mut cookies).await;
    parse(cookie_header(&cookies))
}

/// Sends a GET request, updates the cookies, and returns the target of the redirect.
#[allow(clippy::panic, reason = "the mock panics if a test cannot continue")]
async fn redirect_target<S>(app: &S, path: &str, cookies: &mut BTreeMap<String, String>) -> String
where
    S: Service<Request<Body>, Response = Response> + Clone,
    S::Error: fmt::Debug,
{
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = parse(path.to_owned());
    if !cookies.is_empty() {
        request.headers_mut().insert(COOKIE, parse(cookie_header(cookies)));
    }
    let mut app = app.clone();
    let response = match poll_fn(|context| app.poll_ready(context)).await {
        Ok(()) => app.call(request).await,
        Err(error) => Err(error),
    };
    let response = response.unwrap_or_else(|error| panic!("the application failed at {path}: {error:?}"));
    for cookie in response.headers().get_all(SET_COOKIE) {
        let Some((name, rest)) = cookie.to_str().ok().and_then(|cookie| cookie.split_once('=')) else { continue };
        match rest.split(';').next().unwrap_or_default() {
            "" => cookies.remove(name),
            value => cookies.insert(name.to_owned(), value.to_owned()),
        };
    }
    let target = response.headers().get(LOCATION).filter(|_| response.status().is_redirection());
    let target = target.and_then(|target| target.to_str().ok());
    let status = response.status();
    // The query may contain a code.
    let page = path.split('?').next().unwrap_or_default();
    target
        .unwrap_or_else(|| panic!("the application responded to {page} with {status}, not with a redirect"))
        .to_owned()
}

fn cookie_header(cookies: &BTreeMap<String, String>) -> String {
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

#[allow(clippy::panic, reason = "the mock panics if a test cannot continue")]
fn parse<T: TryFrom<String>>(text: String) -> T {
    T::try_from(text).unwrap_or_else(|_| panic!("the application sent an invalid URL or cookie"))
}
