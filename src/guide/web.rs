//! Log in with Webex in your web application: the whole way, and its traps.
//!
//! Somebody clicks "Log in with Webex", signs in at Webex, and is back on the page where they clicked. In between stand two
//! handlers, and every trap below is about what lies between those two: a browser that anybody can send anywhere.
//!
//! Two applications in the repository go this way, and can be tried without an integration:
//! `cargo run --example web_login` knows who somebody is, and `cargo run --example connect_provider` works for its customers
//! while they are away. The tests that are named below drive them, with what a browser sends and with what a stranger would.
//!
//! # The handlers
//!
//! Here with axum, and with the pending login in an encrypted cookie of its own ([`cookies`](crate::cookies), feature
//! `cookies`). Other frameworks differ in how they hand over headers; [where else it can wait](super::cookies) is a chapter of its
//! own. Beside this crate, it takes the crates `axum`, `rand` 0.10 (feature `sys_rng`) and `url`.
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
//! use webex_oauth::cookies::PendingCookies;
//! use webex_oauth::{Callback, Error, PendingAuthorization, WebexOAuth};
//!
//! #[derive(Clone)]
//! struct App {
//!     webex: WebexOAuth,                              // WebexOAuth::from_env()?
//!     waiting: PendingCookies,                        // PendingCookies::new(&webex, keys)
//!     origin: String,                                 // yours, as browsers write it: "https://app.example.com"
//!     sessions: Arc<Mutex<HashMap<String, String>>>, // who is logged in, by the session's id; yours end some day
//! }
//!
//! fn router(app: App) -> Router {
//!     Router::new()
//!         .route("/auth/cisco", get(begin))
//!         .route("/auth/cisco/callback", get(finish)) // the redirect URI that is registered
//!         .route("/auth/logout", post(log_out))
//!         .with_state(app)
//! }
//!
//! /// The button leads here: `<a href="/auth/cisco?return_to=/events">`.
//! async fn begin(
//!     app: State<App>,
//!     headers: HeaderMap,
//!     Query(link): Query<HashMap<String, String>>,
//! ) -> Result<Response, Failure> {
//!     let return_to = page_of_ours(link.get("return_to").map_or("/", String::as_str));
//!     let (url, pending) = app.webex.authorize().payload(&return_to).begin()?;
//!     let cookies = app.waiting.keep(pending, headers.get_all(COOKIE))?;
//!     Ok((AppendHeaders(cookies), Redirect::to(url.as_str())).into_response())
//! }
//!
//! /// Webex leads the browser here.
//! async fn finish(app: State<App>, headers: HeaderMap, Query(callback): Query<Callback>) -> Result<Response, Failure> {
//!     if Callback::is_prefetch(&headers) {
//!         return Ok((StatusCode::SERVICE_UNAVAILABLE, [(CACHE_CONTROL, "no-store")]).into_response());
//!     }
//!     let (pending, over) = app.waiting.take(&callback, headers.get_all(COOKIE))?;
//!     let return_to = pending.payload()?.unwrap_or_else(|| "/".to_owned());
//!     let answer = match who_is_it(&app.webex, pending, callback).await {
//!         Ok(person_id) => {
//!             let session = new_session(&app, &headers, person_id);
//!             (AppendHeaders([(SET_COOKIE, session)]), Redirect::to(&return_to)).into_response()
//!         }
//!         Err(error) => Failure { error, return_to }.into_response(),
//!     };
//!     Ok((AppendHeaders(over), answer).into_response()) // the callback was for one try
//! }
//!
//! /// Your users are found by this id. An address is given to somebody else one day.
//! async fn who_is_it(webex: &WebexOAuth, pending: PendingAuthorization, callback: Callback) -> Result<String, Error> {
//!     let mut login = webex.login(pending, callback).await?;
//!     let person = webex.identify(&mut login).await?;
//!     Ok(person.id().to_owned())
//! }
//!
//! /// The button of a form leads here: `<form method="post" action="/auth/logout">`.
//! async fn log_out(app: State<App>, headers: HeaderMap) -> Response {
//!     // Browsers send it with every POST. Where it is missing, this was no page of yours either.
//!     if headers.get(ORIGIN).is_none_or(|origin| origin != app.origin.as_str()) {
//!         return StatusCode::FORBIDDEN.into_response();
//!     }
//!     end_session(&app, &headers);
//!     (AppendHeaders([(SET_COOKIE, set_cookie("", 0))]), Redirect::to("/")).into_response()
//! }
//!
//! /// A session under a new id that nobody can guess, in place of the one that this browser had.
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
//! /// Over http, on your own machine, without `__Host-` (there are two of them) and without `Secure`.
//! fn set_cookie(id: &str, seconds: u32) -> String {
//!     format!("__Host-session={id}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax; Secure")
//! }
//!
//! /// Path and query as browsers read them, if that is a page of this application; else the first page.
//! fn page_of_ours(text: &str) -> String {
//!     let read = |text: &str| {
//!         let here = Url::parse("http://here.invalid/").ok()?;
//!         let url = here.join(text).ok().filter(|url| url.origin() == here.origin())?;
//!         let page = url[Position::BeforePath..Position::AfterQuery].to_owned();
//!         (!page.starts_with("/auth/")).then_some(page)
//!     };
//!     let is_plain = text.starts_with('/') && text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic());
//!     let page = is_plain.then(|| read(text)).flatten();
//!     page.filter(|page| read(page).as_ref() == Some(page)).unwrap_or_else(|| "/".to_owned())
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
//!         let (status, words) = match &self.error {
//!             error if error.is_denied() => (StatusCode::FORBIDDEN, "You declined."),
//!             error if error.is_login_required() => (StatusCode::BAD_REQUEST, "This login is over."),
//!             error if error.is_retryable() => (StatusCode::BAD_GATEWAY, "Webex does not answer at the moment."),
//!             error if error.is_misconfigured() => (StatusCode::INTERNAL_SERVER_ERROR, "Something is wrong here."),
//!             _ => (StatusCode::BAD_REQUEST, "That was no login."),
//!         };
//!         eprintln!("{}", self.error); // for you: it has Webex's own words and no secret
//!         let return_to: String = form_urlencoded::byte_serialize(self.return_to.as_bytes()).collect();
//!         let link = format!("<a href=\"/auth/cisco?return_to={return_to}\">Log in with Webex</a>");
//!         (status, Html(format!("<p>{words} {link}</p>"))).into_response()
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use webex_oauth::store::{EncryptionKey, EncryptionKeys};
//! # let mock = webex_oauth::testing::MockWebex::start().await;
//! # let waiting = PendingCookies::new(&mock.client(), EncryptionKeys::new("1", EncryptionKey::generate()?)?);
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let origin = format!("http://{}", listener.local_addr()?);
//! # let sessions = Arc::default();
//! # let app = App { webex: mock.client(), waiting, origin: origin.clone(), sessions: Arc::clone(&sessions) };
//! # tokio::spawn(async { axum::serve(listener, router(app)).await });
//! # let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
//! # let begun = http.get(format!("{origin}/auth/cisco?return_to=/events%3Fa%3Db")).send().await?;
//! # let callback = mock.approve(begun.headers()["location"].to_str()?);
//! # let query = callback.split_once('?').unwrap().1;
//! # let cookie = begun.headers()["set-cookie"].to_str()?.split(';').next().unwrap();
//! # let back = http.get(format!("{origin}/auth/cisco/callback?{query}"));
//! # let lost = back.try_clone().unwrap().send().await?;
//! # assert_eq!((lost.status().as_u16(), lost.text().await?.contains("This login is over.")), (400, true));
//! # let back = back.header("cookie", cookie);
//! # let ahead = back.try_clone().unwrap().header("sec-purpose", "prefetch;prerender").send().await?;
//! # assert_eq!((ahead.status().as_u16(), ahead.headers()["cache-control"].to_str()?), (503, "no-store"));
//! # let done = back.send().await?;
//! # assert_eq!((done.status().as_u16(), done.headers()["location"].to_str()?), (303, "/events?a=b"));
//! # assert_eq!(done.headers().get_all("set-cookie").iter().count(), 2);
//! # let id = sessions.lock().unwrap().keys().next().unwrap().clone();
//! # let leave = http.post(format!("{origin}/auth/logout")).header("cookie", format!("a=b; __Host-session={id}"));
//! # for (from, status, left) in [("", 403, 1), ("null", 403, 1), ("http://evil.example", 403, 1), (&*origin, 303, 0)] {
//! #     let leave = leave.try_clone().unwrap();
//! #     let leave = if from.is_empty() { leave } else { leave.header("origin", from) };
//! #     assert_eq!((leave.send().await?.status().as_u16(), sessions.lock().unwrap().len()), (status, left));
//! # }
//! # for evil in ["//evil.example", "/\\evil.example", "/\t/evil.example", "/..//evil.example", "https:evil.example", "/auth/cisco"] {
//! #     assert_eq!(page_of_ours(evil), "/");
//! # }
//! # let error = mock.client().authorize().redirect_uri("none").begin().err().unwrap();
//! # let declined = Failure { error, return_to: "/\"><a&b".to_owned() }.into_response();
//! # let page = axum::body::to_bytes(declined.into_body(), 1024).await?;
//! # assert!(String::from_utf8(page.to_vec())?.contains("?return_to=%2F%22%3E%3Ca%26b\""));
//! # Ok(())
//! # }
//! ```
//!
//! The tokens are dropped here, since the question was who it is. To call Webex for somebody later, hand the login to
//! [`TokenManager::put`](crate::TokenManager::put), and keep no token in the session.
//!
//! # The traps
//!
//! ## `SameSite=Strict` loses the login
//!
//! Webex sends the browser back: a navigation that begins at another site. A `Strict` cookie stays at home then, and so the
//! callback finds no login, though everything went well. It is no better for your session's own cookie: set by the callback, it
//! does not come along with the redirect right after it, which still counts as the other site's, and somebody who just logged in
//! is told to log in. `Lax` comes along in both, and with nothing that another site embeds or posts. Test:
//! `web_login::cookies_and_pages_carry_what_keeps_browsers_careful`; and what the callback says without its cookie:
//! `web_login::another_persons_callback_logs_nobody_in`.
//!
//! ## A session id from before the login (session fixation)
//!
//! Who can plant a cookie in somebody's browser, from a host below the same domain for example, plants the id of a session of
//! theirs, and is logged in as soon as the other one is. So the id is new at each login, and the old one is dead; and on https its name
//! begins with `__Host-`, which no other host can set. Logging out ends the session on the server: a copy of the cookie is worth
//! nothing. Tests: `web_login::a_session_id_from_before_the_login_is_nobodys_after_it`,
//! `web_login::a_session_that_was_logged_out_does_not_live_on_in_a_copy_of_its_cookie_and_ends_by_itself_after_two_days`,
//! `web_login::at_an_https_address_all_cookies_are_of_this_host_alone`.
//!
//! ## Another person's callback
//!
//! Somebody begins a login, does not follow its last redirect, and has you follow it: you would work in their account, or your product
//! would be connected to it. The state protects from that only where it is tied to the browser: the callback finds no
//! cookie of its login, and is answered with 400. Tests: `web_login::another_persons_callback_logs_nobody_in`,
//! `connect_provider::a_cookie_of_one_login_put_under_the_name_of_another_opens_nothing`.
//!
//! ## The same browser, and another customer
//!
//! An administrator of two customers begins for one, signs in for the other, and lets the first login end. So the customer travels
//! with the login, as its [`payload`](crate::AuthorizationRequest::payload), and the callback compares it with who is signed in
//! now, *before* it exchanges the code. Test: `connect_provider::one_customers_callback_connects_no_other_customer`.
//!
//! ## Two tabs
//!
//! With one place for "the login that waits", the second tab ends the first one's. Here each has a cookie of its own, and
//! its own page to return to; of many that were left lying, the oldest go. Tests:
//! `web_login::two_tabs_log_in_one_after_the_other_and_each_comes_back_to_its_own_page`,
//! `web_login::of_many_tabs_the_oldest_give_way`.
//!
//! ## Back, and submit again
//!
//! The cookie is gone after the first try, so the code is not sent twice (Webex would refuse it, and may end the tokens that came
//! of it). The page says that this login is over; whoever was logged in still is. Answer it with 400 and a link, never with a
//! redirect to a new login, which would go round in circles where the browser keeps no cookies. Test:
//! `web_login::going_back_and_submitting_again_does_no_harm`.
//!
//! ## A browser that fetches ahead
//!
//! Some browsers fetch a page before the user goes there, or on a guess. Where that is the callback, the code is spent on a
//! page that is never shown, and the user's own request finds no login. Such a request says so in a header, which
//! [`Callback::is_prefetch`](crate::Callback::is_prefetch) reads: respond with 503, and take no login. Tests:
//! `web_login::callback_that_is_fetched_ahead_leaves_the_login_to_the_navigation`,
//! `connect_provider::callback_that_is_fetched_ahead_connects_nothing_until_the_navigation`.
//!
//! ## In silence as the wrong user
//!
//! Logging out of your application does not log out of Webex, and the next login asks for nothing: on a shared
//! machine it is the one before who is logged in. Offer "another account" with
//! [`Prompt::SelectAccount`](crate::Prompt::SelectAccount); where somebody connects a product, for whom it then works for months,
//! always ask. And where a login is made anew, [`TokenManager::put`](crate::TokenManager::put) refuses another account than the
//! one before. Tests: `web_login::who_wants_another_account_is_asked_for_one`,
//! `connect_provider::a_disconnected_customer_is_gone_and_connects_to_any_account_again`,
//! `connect_provider::a_login_that_died_asks_for_a_reconnect_and_keeps_its_configurations`.
//!
//! ## An open redirect
//!
//! `?return_to=` comes from a link, and anybody writes links. `//evil.example` is another host, to browsers so is `/\evil.example`, a
//! tab between the slashes is not there at all, and `/..//evil.example` becomes `//evil.example`. Read it with a URL parser as
//! browsers do, twice, and take only a page of yours: the login itself is none, or it goes round in circles. Check it before it becomes the payload;
//! nobody can change it after. `page_of_ours` above does, and `examples/web_login/return_to.rs`, whose failure page leads back
//! there, too. Tests: `web_login::no_return_to_leads_out_of_the_application_or_round_in_circles`,
//! `web_login::a_return_to_that_a_stranger_put_into_a_link_is_dropped`.
//!
//! ## Logged out by a picture
//!
//! A logout by GET is done by any page that embeds its address, and by browsers that fetch ahead. Make it a POST, and take POSTs from your own pages
//! alone: every browser sends `Origin` with them, so a missing one is refused like a wrong one. `log_out` above does it for one handler,
//! `examples/web/shell.rs` for all of them, and `examples/web/sessions.rs` ends the session. Beginning a *login* by GET does no harm; connecting a product changes something,
//! and is a POST as well. Tests: `web_login::nobody_is_logged_out_by_a_link_or_by_another_sites_form`,
//! `connect_provider::another_sites_form_changes_nothing_and_a_link_neither`.
//!
//! ## Back, after logging out
//!
//! Browsers keep pages in memory to go back to, as they were. `Cache-Control: no-store` does not always keep them from it: Chromium keeps
//! such a page too, and drops it once an `HttpOnly` cookie changes; but not a page that the redirects of a login led to, which is
//! where everybody is after logging in (seen with Chromium 156). The next one at that machine then reads it. A script of one line has
//! such a page loaded again, so that the server decides: on `pageshow`, when the event says `persisted`. Test:
//! `web_login::every_page_is_loaded_again_when_a_browser_has_kept_it_to_go_back_to`.
//!
//! ## The code in the address bar
//!
//! The callback's address has a code and a state in it. Answer with a redirect, so that it is in no history and in no `Referer`; send
//! `Cache-Control: no-store`, and a `Referrer-Policy` that keeps addresses from other sites. It should be `same-origin`: with
//! `no-referrer`, browsers write `Origin: null` on the forms of your own pages, and the check of the paragraph above refuses them.
//! A `Content-Security-Policy` should leave `form-action` out where a form's answer leads to Webex: some browsers hold it against that
//! redirect, too. Test: `web_login::cookies_and_pages_carry_what_keeps_browsers_careful`.
//!
//! ## Two cookies in one answer
//!
//! The callback's answer removes one cookie and sets another, in two headers of the same name. Whatever *inserts* a header
//! drops the first of them: append. Test: `cookies::what_is_set_is_appended_to_an_answer_and_shown_nowhere`.
//!
//! ## Found by the e-mail address
//!
//! Addresses change, and are given to somebody else, who then has the account of the one before. Find users by
//! [`Person::id`](crate::Person::id), and let name and address be what they are today. Test:
//! `web_login::a_user_is_found_by_the_person_and_not_by_the_address`.
