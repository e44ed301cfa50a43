//! Between the two halves of a login: where the pending login is kept, and which cookie finds it again.
//!
//! A login begins in one request and ends in another, which comes by way of Webex. In between, the
//! [`PendingAuthorization`] waits with you, and a cookie says that it is the same browser that comes back. Without that, somebody
//! could make another person's browser end a login that they themselves began, and that person would work in a stranger's
//! account.
//!
//! # The usual way: a query
//!
//! Webex sends the browser back with a redirect, and code and state stand in the query: a navigation from another site. Then
//!
//! | cookie | comes along | so |
//! |---|---|---|
//! | `SameSite=Lax` | yes | **use this**, with `Secure` and `HttpOnly` |
//! | `SameSite=Strict` | no | the login is not found, though everything went well |
//! | none at all | in most browsers as `Lax` | say what you mean |
//!
//! A browser may fetch the callback ahead, and such a request ends no login: see [`Callback::is_prefetch`].
//!
//! There are two places to keep it. With [`PendingCookies`](crate::cookies::PendingCookies) (feature `cookies`) it is the cookie
//! itself, encrypted: nothing is kept on the server, so nothing is to be shared between processes but a key, and nothing is left
//! behind by those who never come back. It sets all that the table asks for; the chapter on [web applications](super::web) goes
//! this way. Where there is a session on the server before anybody has logged in, keep the pending logins of a
//! browser in that, each under its
//! [`id()`](crate::PendingAuthorization::id), and [`Callback::pending_id`] finds the one that is meant:
//!
//! ```
//! use std::collections::HashMap;
//! use webex_oauth::{Callback, PendingAuthorization, PendingId, WebexOAuth};
//!
//! /// What you keep for one browser, found by its cookie.
//! type Waiting = HashMap<PendingId, PendingAuthorization>;
//!
//! async fn come_back(webex: &WebexOAuth, waiting: &mut Waiting, query: &str) -> webex_oauth::Result<bool> {
//!     let callback = Callback::parse(query)?;
//!     let Some(pending) = callback.pending_id().and_then(|id| waiting.remove(&id)) else {
//!         return Ok(false); // no login of this browser: answer 400
//!     };
//!     webex.login(pending, callback).await?;
//!     Ok(true)
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # let mock = webex_oauth::testing::MockWebex::start().await;
//! # let webex = mock.client();
//! # let mut waiting = Waiting::new();
//! # let (url, pending) = webex.authorize().begin()?;
//! # waiting.insert(pending.id(), pending);
//! # let query = mock.approve(&url);
//! # assert!(come_back(&webex, &mut waiting, &query).await?);
//! # assert!(!come_back(&webex, &mut waiting, &query).await?);
//! # Ok(())
//! # }
//! ```
//!
//! # The trap: a form
//!
//! A service can be asked to send the browser back with a form instead
//! (`.parameter("response_mode", "form_post")`; Webex documents the query alone). **A form that another site posts brings no
//! `Lax` cookie**: the callback arrives, and the session with the pending login is not there. (Some browsers let a cookie that
//! names no `SameSite` come along for its first two minutes, which hides this in every test.) A page of your own that posts to
//! you, as that of an [implicit login](crate::ImplicitCallback) does, is not another site, and has no such trouble.
//!
//! - Keep the pending logins on the server under their ids, all browsers' together, where the callback itself names the one
//!   that is meant. That finds it, and proves nothing: the id comes from whoever sent the form.
//! - So set a cookie for this one login beside it, named after the [`id()`](crate::PendingAuthorization::id), with
//!   `SameSite=None; Secure; HttpOnly` and the [lifetime](crate::WebexOAuth::pending_lifetime) of a login, and take a callback
//!   only where that cookie comes along. ([`PendingCookies`](crate::cookies::PendingCookies) are `Lax`, for the usual way.)
//! - Answer the form with 303, never with 307, so that no browser posts the code a second time.
//!
//! [`PendingAuthorization`]: crate::PendingAuthorization
//! [`Callback::pending_id`]: crate::Callback::pending_id
//! [`Callback::is_prefetch`]: crate::Callback::is_prefetch
