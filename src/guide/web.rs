//! "Log in with Webex" in a web application.
//!
//! A login consists of two requests to your application: one redirects the browser to Webex, and
//! the other receives the callback. Most pitfalls concern the time between the two, because anyone
//! can make a browser open your callback URL.
//!
#![doc = include_str!("web_login.svg")]
//!
//! Two applications in the repository run without an integration. `web_login` identifies users, and
//! `connect_provider` connects the Webex accounts of customers and works for them in the background:
//!
//! ```sh
//! cargo run --manifest-path examples/web_login/Cargo.toml
//! cargo run --manifest-path examples/connect_provider/Cargo.toml
//! ```
//!
//! Below, the names of tests that begin with `web_login` or `connect_provider` are those of these
//! applications.
//!
//! # With axum
//!
//! The feature `axum` contains the routes, the session, and the protections of this chapter:
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # mod application {
//! use axum::{Router, routing::get};
//! use webex_oauth::TokenManager;
//! use webex_oauth::axum::{WebexAuth, WebexSession};
//! use webex_oauth::cookies::EncryptionKeys;
//!
//! async fn home(session: WebexSession) -> webex_oauth::Result<String> {
//!     Ok(format!("Hello {}!", session.account().await?))
//! }
//!
//! fn app(manager: TokenManager, cookie_keys: EncryptionKeys) -> webex_oauth::Result<Router> {
//!     let auth = WebexAuth::builder(manager, cookie_keys).build()?;
//!     Ok(Router::new()
//!         .route("/", get(home)) // without a session: redirect to /auth/cisco
//!         .nest("/auth", auth.routes()) // GET cisco, GET cisco/callback, POST logout
//!         .layer(auth.layer()))
//! }
//! # }
//! ```
//!
//! [`webex_oauth::axum`](crate::axum) describes the routes, several instances behind a proxy, and
//! sessions of the application's own. `cargo run --example axum_minimal` runs such an application.
//! The rest of this chapter is for other frameworks, and for handlers of your own.
//!
//! # The handlers
//!
//! This application uses axum without that feature, and stores pending logins in encrypted cookies
//! ([`cookies`](crate::cookies), feature `cookies`). [`guide::cookies`](super::cookies) describes
//! the alternative. It also requires the crates `axum` 0.8, `rand` 0.10 (feature `sys_rng`),
//! `tokio`, and `url` 2.
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//!
//! use axum::Router;
//! use axum::extract::{Query, State};
//! use axum::http::header::{CACHE_CONTROL, COOKIE, ORIGIN, SET_COOKIE};
//! use axum::http::{HeaderMap, StatusCode};
//! use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
//! use axum::routing::{get, post};
//! use rand::TryRng as _;
//! use rand::rngs::SysRng;
//! use url::{Position, Url, form_urlencoded};
//! use webex_oauth::cookies::{EncryptionKey, EncryptionKeys, PendingCookies};
//! use webex_oauth::{Callback, Error, PendingAuthorization, WebexOAuth};
//!
//! #[derive(Clone)]
//! struct App {
//!     webex: WebexOAuth,
//!     pending: PendingCookies,
//!     origin: String, // as browsers send it
//!     // Person IDs by session ID. A real application expires its sessions.
//!     sessions: Arc<Mutex<HashMap<String, String>>>,
//! }
//!
//! # mod program {
//! # use super::*;
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let webex = WebexOAuth::from_env()?;
//!     // Created once with `openssl rand -base64 32`. All processes share it.
//!     let key = EncryptionKey::from_text(&std::env::var("COOKIE_KEY")?)?;
//!     let pending = PendingCookies::new(&webex, EncryptionKeys::new("1", key)?);
//!     let origin = "https://app.example.com".to_owned();
//!     let app = App { webex, pending, origin, sessions: Arc::default() };
//!     // A reverse proxy terminates HTTPS.
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
//!     Ok(axum::serve(listener, router(app)).await?)
//! }
//! # }
//!
//! fn router(app: App) -> Router {
//!     Router::new()
//!         .route("/auth/cisco", get(begin))
//!         .route("/auth/cisco/callback", get(finish)) // the registered redirect URI
//!         .route("/auth/logout", post(log_out))
//!         .with_state(app)
//! }
//!
//! /// Begins a login. Link to it: `<a href="/auth/cisco?return_to=/events">`.
//! async fn begin(
//!     app: State<App>,
//!     headers: HeaderMap,
//!     Query(query): Query<HashMap<String, String>>,
//! ) -> Result<Response, Failure> {
//!     let return_to = local_page(query.get("return_to").map_or("/", String::as_str));
//!     let (url, pending) = app.webex.authorize().payload(&return_to).begin()?;
//!     let cookies = app.pending.store(pending, headers.get_all(COOKIE))?;
//!     Ok((AppendHeaders(cookies), Redirect::to(url.as_str())).into_response())
//! }
//!
//! /// Receives the callback. Webex redirects the browser here.
//! async fn finish(
//!     app: State<App>,
//!     headers: HeaderMap,
//!     Query(callback): Query<Callback>,
//! ) -> Result<Response, Failure> {
//!     if Callback::is_prefetch(&headers) {
//!         let no_store = [(CACHE_CONTROL, "no-store")];
//!         return Ok((StatusCode::SERVICE_UNAVAILABLE, no_store).into_response());
//!     }
//!     let (pending, removal) = app.pending.take(&callback, headers.get_all(COOKIE))?;
//!     let return_to = pending.payload()?.unwrap_or_else(|| "/".to_owned());
//!     let response = match log_in(&app.webex, pending, callback).await {
//!         Ok(person_id) => {
//!             let cookie = new_session(&app, &headers, person_id);
//!             let cookie = AppendHeaders([(SET_COOKIE, cookie)]);
//!             (cookie, Redirect::to(&return_to)).into_response()
//!         }
//!         Err(error) => Failure { error, return_to }.into_response(),
//!     };
//!     // A callback is valid for one attempt: remove the cookie of the pending login.
//!     Ok((AppendHeaders(removal), response).into_response())
//! }
//!
//! /// Returns the person ID, which identifies the user. E-mail addresses may be reassigned.
//! async fn log_in(
//!     webex: &WebexOAuth,
//!     pending: PendingAuthorization,
//!     callback: Callback,
//! ) -> Result<String, Error> {
//!     let mut login = webex.login(pending, callback).await?;
//!     let person = webex.identify(&mut login).await?;
//!     Ok(person.id().to_owned())
//! }
//!
//! /// Ends the session. Use a form: `<form method="post" action="/auth/logout">`.
//! async fn log_out(app: State<App>, headers: HeaderMap) -> Response {
//!     // Browsers send `Origin` with every POST. Reject requests without it as well.
//!     if headers.get(ORIGIN).is_none_or(|origin| origin != app.origin.as_str()) {
//!         return StatusCode::FORBIDDEN.into_response();
//!     }
//!     end_session(&app, &headers);
//!     let cookie = AppendHeaders([(SET_COOKIE, set_cookie("", 0))]);
//!     (cookie, Redirect::to("/")).into_response()
//! }
//!
//! /// Replaces the session of this browser with one under a new, random ID.
//! fn new_session(app: &App, headers: &HeaderMap, person_id: String) -> String {
//!     end_session(app, headers);
//!     let mut id = [0; 16];
//!     SysRng.try_fill_bytes(&mut id).expect("the system has random bytes");
//!     let id = format!("{:032x}", u128::from_be_bytes(id));
//!     let cookie = set_cookie(&id, 2 * 24 * 60 * 60);
//!     app.sessions.lock().unwrap().insert(id, person_id);
//!     cookie
//! }
//!
//! fn end_session(app: &App, headers: &HeaderMap) {
//!     let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
//!     let mut cookies = cookies.flat_map(|cookies| cookies.split("; "));
//!     if let Some(id) = cookies.find_map(|cookie| cookie.strip_prefix("__Host-session=")) {
//!         app.sessions.lock().unwrap().remove(id);
//!     }
//! }
//!
//! /// Without HTTPS (on localhost), remove `Secure` and the `__Host-` prefix here and above.
//! fn set_cookie(id: &str, seconds: u32) -> String {
//!     let attributes = "Path=/; HttpOnly; SameSite=Lax; Secure";
//!     format!("__Host-session={id}; Max-Age={seconds}; {attributes}")
//! }
//!
//! /// Returns path and query of `text` if it is a page of this application, or "/".
//! fn local_page(text: &str) -> String {
//!     // Parses like a browser does.
//!     let parse = |text: &str| {
//!         let base = Url::parse("http://base.invalid/").ok()?;
//!         let url = base.join(text).ok().filter(|url| url.origin() == base.origin())?;
//!         let page = url[Position::BeforePath..Position::AfterQuery].to_owned();
//!         (!page.starts_with("/auth/")).then_some(page)
//!     };
//!     let is_ascii = text.bytes().all(|byte| byte.is_ascii_graphic());
//!     let is_path = text.starts_with('/') && text.len() <= 512 && is_ascii;
//!     let page = is_path.then(|| parse(text)).flatten();
//!     let is_stable = |page: &String| parse(page).as_ref() == Some(page);
//!     page.filter(is_stable).unwrap_or_else(|| "/".to_owned())
//! }
//!
//! struct Failure {
//!     error: Error,
//!     return_to: String,
//! }
//!
//! impl From<Error> for Failure {
//!     fn from(error: Error) -> Self {
//!         Self { error, return_to: "/".to_owned() }
//!     }
//! }
//!
//! impl IntoResponse for Failure {
//!     fn into_response(self) -> Response {
//!         let (status, text) = match &self.error {
//!             e if e.is_denied() => (StatusCode::FORBIDDEN, "You declined."),
//!             e if e.is_login_required() => (StatusCode::BAD_REQUEST, "The login expired."),
//!             e if e.is_retryable() => (StatusCode::BAD_GATEWAY, "Webex is unavailable."),
//!             e if e.is_misconfigured() => {
//!                 (StatusCode::INTERNAL_SERVER_ERROR, "The login is misconfigured.")
//!             }
//!             _ => (StatusCode::BAD_REQUEST, "The login failed."),
//!         };
//!         eprintln!("{}", self.error); // for operators; contains no secret
//!         let return_to = form_urlencoded::byte_serialize(self.return_to.as_bytes());
//!         let href = format!("/auth/cisco?return_to={}", return_to.collect::<String>());
//!         let link = format!("<a href=\"{href}\">Log in with Webex</a>");
//!         (status, Html(format!("<p>{text} {link}</p>"))).into_response()
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mock = webex_oauth::testing::MockWebex::start().await;
//! # let keys = EncryptionKeys::new("1", EncryptionKey::generate()?);
//! # let pending = PendingCookies::new(&mock.client(), keys?);
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let origin = format!("http://{}", listener.local_addr()?);
//! # let sessions: Arc<Mutex<HashMap<String, String>>> = Arc::default();
//! # let (webex, sessions_of_app) = (mock.client(), Arc::clone(&sessions));
//! # let app = App { webex, pending, origin: origin.clone(), sessions: sessions_of_app };
//! # tokio::spawn(async { axum::serve(listener, router(app)).await });
//! # let http = reqwest::Client::builder().no_proxy();
//! # let http = http.redirect(reqwest::redirect::Policy::none()).build()?;
//! # let begin = format!("{origin}/auth/cisco?return_to=/events%3Fa%3Db");
//! # let begun = http.get(begin).send().await?;
//! # let callback = mock.approve(begun.headers()["location"].to_str()?);
//! # let query = callback.split_once('?').unwrap().1;
//! # let cookie = begun.headers()["set-cookie"].to_str()?.split(';').next().unwrap();
//! # let back = http.get(format!("{origin}/auth/cisco/callback?{query}"));
//! # let lost = back.try_clone().unwrap().send().await?;
//! # assert_eq!(lost.status().as_u16(), 400);
//! # assert!(lost.text().await?.contains("The login expired."));
//! # let back = back.header("cookie", cookie);
//! # let prefetch = back.try_clone().unwrap().header("sec-purpose", "prefetch;prerender");
//! # let prefetch = prefetch.send().await?;
//! # assert_eq!(prefetch.status().as_u16(), 503);
//! # assert_eq!(prefetch.headers()["cache-control"].to_str()?, "no-store");
//! # let done = back.send().await?;
//! # assert_eq!(done.status().as_u16(), 303);
//! # assert_eq!(done.headers()["location"].to_str()?, "/events?a=b");
//! # assert_eq!(done.headers().get_all("set-cookie").iter().count(), 2);
//! # let id = sessions.lock().unwrap().keys().next().unwrap().clone();
//! # let leave = http.post(format!("{origin}/auth/logout"));
//! # let leave = leave.header("cookie", format!("a=b; __Host-session={id}"));
//! # let foreign = [("", 403, 1), ("null", 403, 1), ("http://evil.example", 403, 1)];
//! # for (from, status, left) in foreign.into_iter().chain([(&*origin, 303, 0)]) {
//! #     let leave = leave.try_clone().unwrap();
//! #     let leave = if from.is_empty() { leave } else { leave.header("origin", from) };
//! #     assert_eq!(leave.send().await?.status().as_u16(), status);
//! #     assert_eq!(sessions.lock().unwrap().len(), left);
//! # }
//! # let evil = "//evil.example|/\\evil.example|/\t/evil.example|/..//evil.example";
//! # for evil in evil.split('|').chain(["https:evil.example", "/auth/cisco"]) {
//! #     assert_eq!(local_page(evil), "/");
//! # }
//! # let error = mock.client().authorize().redirect_uri("none").begin().err().unwrap();
//! # let declined = Failure { error, return_to: "/\"><a&b".to_owned() }.into_response();
//! # let page = axum::body::to_bytes(declined.into_body(), 1024).await?;
//! # assert!(String::from_utf8(page.to_vec())?.contains("?return_to=%2F%22%3E%3Ca%26b\""));
//! # Ok(())
//! # }
//! ```
//!
//! This application drops the tokens, because it only identifies users. To call Webex later on
//! behalf of a user, pass the login to [`TokenManager::put`](crate::TokenManager::put) (see [stored
//! sessions](super::tokens#stored-sessions)). Do not store tokens in your web session.
//!
//! **Choose one key per Webex account, not per browser session.** With one key per account, ten
//! browsers share one token. Store the person ID in your own web session and use it as the key:
//! `TokenKey::new(person.id())`. Logging out of one browser then deletes only your web session.
//! Call [`Session::disconnect`](crate::Session::disconnect) when the user removes the connection.
//!
//! # The steps of a login
//!
//! Each value is created only by the step before it, so no step can be skipped.
//!
//! | step | result | verified so far |
//! |---|---|---|
//! | [`authorize()`](crate::WebexOAuth::authorize) … [`begin()`](crate::AuthorizationRequest::begin) | [`AuthorizationUrl`](crate::AuthorizationUrl), [`PendingAuthorization`](crate::PendingAuthorization) | nothing |
//! | [`Callback::parse`](crate::Callback::parse), or deserialization by a web framework | [`Callback`](crate::Callback) | nothing: anyone could have sent it |
//! | [`pending_id()`](crate::Callback::pending_id) | ID of the pending authorization | nothing |
//! | [`accept(pending, callback)`](crate::WebexOAuth::accept) | [`AuthorizationCode`](crate::AuthorizationCode) | this browser began this login, with this client, recently |
//! | [`exchange(code)`](crate::WebexOAuth::exchange) | [`Login`](crate::Login) with a [`TokenSet`](crate::TokenSet) | Webex accepted the code, client secret, and code verifier |
//! | [`refresh(&tokens)`](crate::WebexOAuth::refresh) | new [`TokenSet`](crate::TokenSet) that replaces the old one | |
//! | [`identify(&mut login)`](crate::WebexOAuth::identify) or `user_info_for(&mut login)` | [`Person`](crate::Person), or OpenID Connect claims | the user; [`require_organization`](crate::Login::require_organization) and [`require_email_domain`](crate::Login::require_email_domain) reject others |
//! | [`manager.put(&key, login)`](crate::TokenManager::put) | [`Session`](crate::Session), which refreshes automatically | the tokens belong to this client and to the account of the stored session |
//!
//! [`login(pending, callback)`](crate::WebexOAuth::login) combines `accept` and `exchange`.
//!
//! `identify` returns a reference into the login. To call the `require_*` checks, drop the
//! reference, and read [`Login::person`](crate::Login::person) afterwards.
//!
//! - **`state`** is a random string in the authorization URL that is returned in the callback. It
//!   prevents an attacker from passing the callback of another login to your user.
//! - **PKCE** (RFC 7636) uses a secret of your application. Webex receives a hash of it when the
//!   login begins, and the secret itself with the code. A stolen code is useless without it.
//! - **Issuer** is the server that identifies the user. For Webex, it is the identity broker of the
//!   user's region.
//!
//! Several logins can be pending in one browser. Store each
//! [`PendingAuthorization`](crate::PendingAuthorization) in the browser's session under its
//! [`id()`](crate::PendingAuthorization::id). Remove it when its callback arrives, *before* the
//! code is exchanged, and after [`pending_lifetime`](crate::WebexOAuth::pending_lifetime).
//! [`PendingAuthorization::to_stored`](crate::PendingAuthorization::to_stored) converts it to a
//! string that survives restarts.
//!
//! A [`payload`](crate::AuthorizationRequest::payload) carries application data such as a return
//! path or a tenant. Validate a path that came from the browser.
//!
//! # Pitfalls
//!
//! The tests named below are in `tests/it` in the repository.
//!
//! ## `SameSite=Strict` loses the login
//!
//! The callback is a navigation that starts at another site, so browsers omit `Strict` cookies. The
//! application then does not find the pending login. The same applies to a `Strict` session cookie
//! that the callback sets: the redirect that follows still counts as cross-site, and the page asks
//! the user to log in again. `Lax` cookies are sent in both cases, but not with embedded content or
//! POST requests of other sites. Tests:
//! `web_login::cookies_and_pages_have_security_attributes`, and for a callback without its
//! cookie `web_login::callback_of_other_browser_is_rejected`.
//!
//! ## Session fixation
//!
//! An attacker who can set a cookie in the user's browser, for example from another subdomain, sets
//! the ID of a session of their own. After the login, they share that session. Therefore use a new
//! session ID for each login and delete the old session. With HTTPS, begin the cookie's name with
//! `__Host-`, which no other host can set. Logging out must end the session on the server, so that
//! a copy of the cookie is useless. Tests:
//! `web_login::session_id_from_before_login_is_invalidated`,
//! `web_login::session_ends_at_logout_and_after_two_days`,
//! `web_login::https_cookies_have_host_prefix_and_secure_attribute`,
//! `axum::session_from_before_login_is_invalidated`. In tower-sessions, call `cycle_id` at the
//! login: [`AppSession`](crate::axum::AppSession) contains the code.
//!
//! ## Someone else's callback
//!
//! An attacker begins a login, stops before the callback, and makes your user open the callback
//! URL. Your user would then work in the attacker's account, or your product would be connected to
//! it. `state` prevents this only if it is bound to the browser: a callback without the cookie of
//! its login receives a 400. Tests: `web_login::callback_of_other_browser_is_rejected`,
//! `connect_provider::cookie_under_name_of_other_login_is_rejected`.
//!
//! ## Same browser, different customer
//!
//! An administrator of two customers begins a login for one, signs in for the other, and then
//! completes the first login. Therefore store the customer in the
//! [`payload`](crate::AuthorizationRequest::payload) of the login. In the callback, compare it with
//! the customer who is signed in now, *before* exchanging the code. Test:
//! `connect_provider::callback_of_one_customer_connects_no_other_customer`.
//!
//! ## Two tabs
//!
//! If a browser can have only one pending login, the second tab overwrites the login of the first.
//! Here each login has a cookie and a return path. If many logins were abandoned, the oldest are
//! removed. Tests:
//! `web_login::two_tabs_log_in_and_return_to_own_page`,
//! `web_login::oldest_pending_logins_are_dropped_beyond_four`.
//!
//! ## Back button and repeated callback
//!
//! The cookie is removed after the first attempt, so the code is never sent twice. Webex would
//! reject it, and might revoke the tokens that it issued for it. Respond with 400 and a link to a
//! new login. An automatic redirect would loop in browsers that reject cookies. A user who is
//! logged in stays logged in. Test: `web_login::repeated_callback_is_rejected_and_keeps_session`.
//!
//! ## Prefetched callback
//!
//! Some browsers fetch pages before the user opens them. A prefetched callback would spend the
//! code, and the real request would find no login. Detect it with
//! [`Callback::is_prefetch`](crate::Callback::is_prefetch), respond with 503, and keep the pending
//! login. Tests: `web_login::prefetched_callback_leaves_login_to_navigation`,
//! `connect_provider::prefetched_callback_connects_only_after_navigation`.
//!
//! ## Silent login of the previous user
//!
//! Logging out of your application does not end the user's Webex session. The next login succeeds
//! without a prompt, so on a shared computer the previous user is logged in. Offer "another
//! account" with [`Prompt::SelectAccount`](crate::Prompt::SelectAccount). Always use it if the
//! login connects a product that works for months. [`TokenManager::put`](crate::TokenManager::put)
//! rejects a new login with a different account. Tests:
//! `web_login::account_switch_requests_select_account_prompt`,
//! `connect_provider::disconnected_customer_may_connect_to_any_account`,
//! `connect_provider::ended_session_requires_reconnect_and_keeps_configuration`.
//!
//! ## Open redirect
//!
//! `?return_to=` comes from a link that anyone can create. Browsers resolve `//evil.example`,
//! `/\evil.example`, and both slashes separated by a tab to another host, and `/..//evil.example`
//! becomes `//evil.example`. Parse the value twice with a URL parser that follows browsers, and
//! accept only pages of your application. Exclude the login itself, because it would loop. Validate
//! the value before it becomes the payload, which cannot be modified afterwards. `local_page` above
//! and `examples/web_login/src/return_to.rs` do this. Tests:
//! `web_login::unsafe_return_to_is_replaced_by_root`,
//! `web_login::foreign_return_to_in_link_is_ignored`.
//!
//! ## Logging out by GET
//!
//! A logout by GET can be triggered by any page that embeds its URL, and by prefetching browsers.
//! Use POST, and accept POST requests only from your own pages. Every browser sends `Origin` with
//! them, so reject a missing `Origin` as well. `log_out` above does this for one handler, and
//! `examples/web/src/layout.rs` for all handlers. `examples/web/src/web_sessions.rs` ends the
//! session. Beginning a *login* by GET is harmless. Connecting a product changes data and must be a
//! POST. Tests:
//! `web_login::cross_site_logout_is_rejected`,
//! `connect_provider::cross_site_forms_and_get_requests_change_nothing`.
//!
//! ## Back button after logout
//!
//! Browsers keep pages in memory and show them again when the user goes back. `Cache-Control:
//! no-store` does not always prevent this. Chromium keeps such pages until an `HttpOnly` cookie
//! changes, but it ignores that change for a page that was reached through the redirects of a login
//! (observed with Chromium 156). The next user of the computer could then read it. On the event
//! `pageshow`, reload the page if `persisted` is `true`, so that the server decides. Test:
//! `web_login::each_page_reloads_when_restored_from_back_forward_cache`.
//!
//! ## Code in the address bar
//!
//! The callback URL contains a code and `state`. Respond with a redirect, so that the URL appears
//! neither in the history nor in `Referer`. Send `Cache-Control: no-store` and `Referrer-Policy:
//! same-origin`. With `no-referrer`, browsers send `Origin: null` with the forms of your own pages,
//! and the check of `Origin` rejects them. Omit `form-action` from a `Content-Security-Policy` if a
//! form leads to Webex: some browsers apply it to the redirect as well. Test:
//! `web_login::cookies_and_pages_have_security_attributes`.
//!
//! ## Two cookies in one response
//!
//! The response to the callback removes one cookie and sets another, in two `Set-Cookie` headers. A
//! function that *inserts* a header replaces the first one: append instead. Test:
//! `cookies::set_cookies_are_appended_to_headers_and_hidden_in_debug`.
//!
//! ## Users identified by e-mail address
//!
//! E-mail addresses change, and may be reassigned to another person, who then receives the account
//! of the previous one. Identify users by [`Person::id`](crate::Person::id), and update name and
//! address at each login. Test: `web_login::user_is_identified_by_person_id_and_not_email`.
