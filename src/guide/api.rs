//! Calls to the Webex API.
//!
//! A [`Session`] calls the API and refreshes its token when necessary:
//!
//! ```
//! use serde::Deserialize;
//! use webex_oauth::Session;
//!
//! #[derive(Deserialize)]
//! struct Room {
//!     title: String,
//! }
//!
//! async fn room_titles(session: &Session) -> webex_oauth::Result<Vec<String>> {
//!     let mut titles = Vec::new();
//!     let mut rooms = session.list::<Room>("rooms?max=100");
//!     while let Some(room) = rooms.try_next().await? {
//!         titles.push(room.title);
//!     }
//!     Ok(titles)
//! }
//! ```
//!
//! | to | use |
//! |---|---|
//! | fetch one resource | [`Session::get_json`] |
//! | create, change, or delete a resource, or add query parameters | [`Session::request`] |
//! | list all items of a collection | [`Session::list`], or [`Session::list_at`] for another member than `items` |
//! | send a request that you build yourself | [`Session::send`] |
//! | use your own reqwest client | `middleware::BearerMiddleware` (feature `middleware`) |
//! | use any other HTTP client | [`Session::access_token`], or [`Session::with_token`] for one retry after a 401 |
//!
//! The crate contains no types of the Webex API: deserialize the fields that you need into your own
//! types.
//!
//! # Paths
//!
//! A path is relative to the [base URL](crate::Service::base_url) of the service, for example
//! `https://webexapis.com/v1`. A URL on an API host of the service is accepted as well, and other
//! hosts are added with [`Service::with_api_host`](crate::Service::with_api_host). An access token
//! is never sent to another host, and not after a redirect.
//!
//! Percent-encode an ID that contains other characters than letters, digits, `-`, and `_`. A path
//! with an empty segment, `.`, `..`, a space, or a line break is rejected before a token is
//! requested. Pass values from users in [`query`](crate::ApiRequest::query), which encodes them.
//!
//! # Errors
//!
//! | status | error | remedy |
//! |---|---|---|
//! | 401 | [`is_token_rejected`](crate::Error::is_token_rejected), after one refresh | none: the endpoint rejects valid tokens |
//! | 401, and the refresh token was rejected | [`is_login_required`](crate::Error::is_login_required) | a new login |
//! | 403 | [`is_misconfigured`](crate::Error::is_misconfigured) | add the scope or the role |
//! | 404, 409, 410 | none of the predicates | see [`Error::server`](crate::Error::server) |
//! | 423, 429 | [`is_retryable`](crate::Error::is_retryable), with [`retry_after`](crate::Error::retry_after) | wait |
//! | 500 to 504 | [`is_retryable`](crate::Error::is_retryable) | retry later |
//!
//! [`Error::tracking_id`](crate::Error::tracking_id) returns the ID that Cisco support asks for.
//!
//! # Rate limits
//!
//! Webex responds with 429 and `Retry-After` to a user or client that sends too many requests, and
//! with 423 and `Retry-After` to a request for a file that is locked. By default both are returned
//! at once. [`max_rate_limit_wait`](crate::ApiRequest::max_rate_limit_wait) waits and sends the
//! request again; choose less than the timeout of your own caller.
//!
//! | API | limit |
//! |---|---|
//! | most of the REST API | not published; depends on the load (<https://developer.webex.com/docs/basics>) |
//! | Webex Contact Center | 50 requests per minute and client ID, unless agreed otherwise |
//!
//! # Lists
//!
//! A page has up to `max` items, with a default that depends on the collection. The next page is
//! the `Link` with `rel="next"` (<https://developer.webex.com/docs/api/basics/pagination>).
//! [`ItemStream`](crate::ItemStream) follows it, corrects two faults of Webex's links, and stops at
//! a link that it has already followed. Not every collection has pages. The SCIM API pages by
//! `startIndex` and is not supported.
//!
//! [`Session`]: crate::Session
//! [`Session::access_token`]: crate::Session::access_token
//! [`Session::get_json`]: crate::Session::get_json
//! [`Session::list`]: crate::Session::list
//! [`Session::list_at`]: crate::Session::list_at
//! [`Session::request`]: crate::Session::request
//! [`Session::send`]: crate::Session::send
//! [`Session::with_token`]: crate::Session::with_token
