//! Storage for pending logins, and the `SameSite` attribute.
//!
//! A login consists of two requests to your application, with a visit to Webex in between.
//! Meanwhile, your application stores the [`PendingAuthorization`], and a cookie binds it to the
//! browser. Without that binding, an attacker could make another person's browser complete a login
//! that the attacker began. That person would then work in the attacker's account.
//!
//! # Callback with a query (the default)
//!
//! Webex redirects the browser to the callback with code and `state` in the query. This is a
//! navigation from another site:
//!
//! | cookie | sent with the callback | result |
//! |---|---|---|
//! | `SameSite=Lax` | yes | **use this**, with `Secure` and `HttpOnly` |
//! | `SameSite=Strict` | no | the pending login is not found |
//! | no `SameSite` | treated as `Lax` by most browsers | always set the attribute explicitly |
//!
//! A browser may prefetch the callback. Such a request must not complete the login: see
//! [`Callback::is_prefetch`].
//!
//! There are two places for pending logins:
//!
//! - **In the cookie**, encrypted, with [`PendingCookies`](crate::cookies::PendingCookies) (feature
//!   `cookies`). The server stores nothing, so processes share only a key, and abandoned logins
//!   leave no data behind. It sets the recommended attributes. The chapter on [web
//!   applications](super::web) uses this.
//! - **In a server-side session** that exists before the login. Store each pending login under its
//!   [`id()`](crate::PendingAuthorization::id), and look it up with [`Callback::pending_id`]:
//!
//! ```
//! use std::collections::HashMap;
//! use webex_oauth::{Callback, PendingAuthorization, PendingId, WebexOAuth};
//!
//! /// The pending logins of one browser, found by its session cookie.
//! type PendingLogins = HashMap<PendingId, PendingAuthorization>;
//!
//! async fn finish(
//!     webex: &WebexOAuth,
//!     pending: &mut PendingLogins,
//!     query: &str,
//! ) -> webex_oauth::Result<bool> {
//!     let callback = Callback::parse(query)?;
//!     let Some(pending) = callback.pending_id().and_then(|id| pending.remove(&id)) else {
//!         return Ok(false); // not a login of this browser: respond with 400
//!     };
//!     webex.login(pending, callback).await?;
//!     Ok(true)
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # let mock = webex_oauth::testing::MockWebex::start().await;
//! # let webex = mock.client();
//! # let mut logins = PendingLogins::new();
//! # let (url, pending) = webex.authorize().begin()?;
//! # logins.insert(pending.id(), pending);
//! # let query = mock.approve(&url);
//! # assert!(finish(&webex, &mut logins, &query).await?);
//! # assert!(!finish(&webex, &mut logins, &query).await?);
//! # Ok(())
//! # }
//! ```
//!
//! # Callback with a form
//!
//! Some services can return the response in a form (`.parameter("response_mode", "form_post")`).
//! Webex documents only the query. **Browsers do not send `Lax` cookies with a form that another
//! site posts**: the callback arrives without the session that contains the pending login. Some
//! browsers send cookies without `SameSite` during their first two minutes, which hides the problem
//! in tests. An [implicit login](crate::ImplicitCallback) is not affected, because a page of your
//! own application posts its form.
//!
//! - Store the pending logins of all browsers together on the server, by ID. The callback contains
//!   the ID. This finds the login but does not verify the browser, because the ID comes from the
//!   sender of the form.
//! - In addition, set a cookie for each login. Name it after the
//!   [`id()`](crate::PendingAuthorization::id), with `SameSite=None; Secure; HttpOnly` and the
//!   [lifetime](crate::WebexOAuth::pending_lifetime) of a pending login. Accept a callback only
//!   with that cookie. ([`PendingCookies`](crate::cookies::PendingCookies) uses `Lax` and does not
//!   support forms.)
//! - Respond to the form with 303, never with 307: after a 307, browsers would post the code again.
//!
//! # Other frameworks
//!
//! For axum, the feature `axum` contains [everything](crate::axum). `PendingCookies` works with any
//! framework. A service for hyper, which has the header types of this crate:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http::header::{COOKIE, HeaderValue, LOCATION};
//! use http::{Request, Response, StatusCode};
//! use webex_oauth::cookies::PendingCookies;
//! use webex_oauth::{Callback, Result, WebexOAuth};
//!
//! #[derive(Clone)]
//! struct App {
//!     webex: WebexOAuth,
//!     pending: PendingCookies,
//! }
//!
//! /// Serve it with `service_fn(move |request| handle(app.clone(), request))`.
//! async fn handle<B>(app: App, request: Request<B>) -> Result<Response<String>, Infallible> {
//!     let response = match request.uri().path() {
//!         "/auth/cisco" => begin(&app, &request),
//!         "/auth/cisco/callback" => finish(&app, &request).await,
//!         _ => Ok(status(StatusCode::NOT_FOUND)),
//!     };
//!     // `guide::web` distinguishes the errors.
//!     Ok(response.unwrap_or_else(|_| status(StatusCode::BAD_REQUEST)))
//! }
//!
//! fn begin<B>(app: &App, request: &Request<B>) -> Result<Response<String>> {
//!     let (url, pending) = app.webex.authorize().begin()?;
//!     let cookies = app.pending.store(pending, request.headers().get_all(COOKIE))?;
//!     let mut response = redirect(url.as_str());
//!     response.headers_mut().extend(cookies);
//!     Ok(response)
//! }
//!
//! async fn finish<B>(app: &App, request: &Request<B>) -> Result<Response<String>> {
//!     if Callback::is_prefetch(request.headers()) {
//!         // Add `Cache-Control: no-store`.
//!         return Ok(status(StatusCode::SERVICE_UNAVAILABLE));
//!     }
//!     let callback = Callback::parse(request.uri().query().unwrap_or_default())?;
//!     let cookies = request.headers().get_all(COOKIE);
//!     let (pending, removal) = app.pending.take(&callback, cookies)?;
//!     let mut response = match app.webex.login(pending, callback).await {
//!         Ok(_login) => redirect("/"), // and begin a session with a new ID
//!         Err(_) => status(StatusCode::BAD_REQUEST),
//!     };
//!     response.headers_mut().extend(removal); // in any case
//!     Ok(response)
//! }
//!
//! fn redirect(url: &str) -> Response<String> {
//!     let mut response = status(StatusCode::SEE_OTHER);
//!     let url = HeaderValue::from_str(url).expect("URLs are ASCII");
//!     response.headers_mut().insert(LOCATION, url);
//!     response
//! }
//!
//! fn status(status: StatusCode) -> Response<String> {
//!     let mut response = Response::new(String::new());
//!     *response.status_mut() = status;
//!     response
//! }
//! # fn serve(app: App) -> impl hyper::service::HttpService<hyper::body::Incoming> {
//! #     hyper::service::service_fn(move |request| handle(app.clone(), request))
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
//! # use webex_oauth::cookies::{EncryptionKey, EncryptionKeys};
//! # let mock = webex_oauth::testing::MockWebex::start().await;
//! # let keys = EncryptionKeys::new("1", EncryptionKey::generate()?)?;
//! # let app = App { webex: mock.client(), pending: PendingCookies::new(&mock.client(), keys) };
//! # let begun = handle(app.clone(), Request::get("/auth/cisco").body(())?).await?;
//! # let callback = mock.approve(begun.headers()[LOCATION].to_str()?);
//! # let uri = format!("/auth/cisco/callback?{}", callback.split_once('?').unwrap().1);
//! # assert_eq!(handle(app.clone(), Request::get(&uri).body(())?).await?.status(), 400);
//! # let cookie = begun.headers()["set-cookie"].to_str()?.split(';').next().unwrap();
//! # let request = Request::get(&uri).header(COOKIE, cookie).body(())?;
//! # let finished = handle(app, request).await?;
//! # assert_eq!(finished.headers()[LOCATION], "/");
//! # assert!(finished.headers()["set-cookie"].to_str()?.contains("Max-Age=0"));
//! # Ok(())
//! # }
//! ```
//!
//! Handlers for actix-web 4:
//!
//! ```ignore
//! use std::fmt;
//!
//! use actix_web::http::StatusCode;
//! use actix_web::http::header::{COOKIE, HeaderValue, LOCATION, SET_COOKIE};
//! use actix_web::web::{self, Data};
//! use actix_web::{HttpRequest, HttpResponse, ResponseError};
//! use webex_oauth::cookies::{PendingCookies, SetCookies};
//! use webex_oauth::{Callback, Error, WebexOAuth};
//!
//! pub struct App {
//!     pub webex: WebexOAuth,
//!     pub pending: PendingCookies,
//! }
//!
//! pub fn routes(config: &mut web::ServiceConfig) {
//!     config.route("/auth/cisco", web::get().to(begin));
//!     config.route("/auth/cisco/callback", web::get().to(finish));
//! }
//!
//! async fn begin(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, Failure> {
//!     let (url, pending) = app.webex.authorize().begin()?;
//!     let mut response = redirect(url.as_str());
//!     append(&mut response, app.pending.store(pending, cookies_of(&request))?);
//!     Ok(response)
//! }
//!
//! async fn finish(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, Failure> {
//!     let headers = request.headers().iter().map(|(name, v)| (name.as_str(), v.as_bytes()));
//!     if Callback::is_prefetch(headers) {
//!         let mut response = HttpResponse::ServiceUnavailable();
//!         return Ok(response.insert_header(("cache-control", "no-store")).finish());
//!     }
//!     let callback = Callback::parse(request.query_string())?;
//!     let (pending, removal) = app.pending.take(&callback, cookies_of(&request))?;
//!     let mut response = match app.webex.login(pending, callback).await {
//!         Ok(_login) => redirect("/"), // and begin a session with a new ID
//!         Err(error) => Failure(error).error_response(),
//!     };
//!     append(&mut response, removal); // in any case
//!     Ok(response)
//! }
//!
//! fn cookies_of(request: &HttpRequest) -> impl Iterator<Item = &[u8]> {
//!     request.headers().get_all(COOKIE).map(|value| value.as_bytes())
//! }
//!
//! fn redirect(url: &str) -> HttpResponse {
//!     HttpResponse::SeeOther().insert_header((LOCATION, url)).finish()
//! }
//!
//! // actix-web 4 has the headers of `http` 0.2.
//! fn append(response: &mut HttpResponse, cookies: SetCookies) {
//!     for cookie in cookies.values() {
//!         if let Ok(cookie) = HeaderValue::from_bytes(cookie.as_bytes()) {
//!             response.headers_mut().append(SET_COOKIE, cookie);
//!         }
//!     }
//! }
//!
//! #[derive(Debug)]
//! struct Failure(Error); // `guide::web` distinguishes the cases
//!
//! impl From<Error> for Failure {
//!     fn from(error: Error) -> Self {
//!         Self(error)
//!     }
//! }
//!
//! impl fmt::Display for Failure {
//!     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
//!         f.write_str("The login failed.")
//!     }
//! }
//!
//! impl ResponseError for Failure {
//!     fn status_code(&self) -> StatusCode {
//!         let is_webex_down = self.0.is_retryable();
//!         if is_webex_down { StatusCode::BAD_GATEWAY } else { StatusCode::BAD_REQUEST }
//!     }
//! }
//! ```
//!
//! [`PendingAuthorization`]: crate::PendingAuthorization
//! [`Callback::pending_id`]: crate::Callback::pending_id
//! [`Callback::is_prefetch`]: crate::Callback::is_prefetch
