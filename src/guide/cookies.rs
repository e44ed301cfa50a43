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
//! [`PendingAuthorization`]: crate::PendingAuthorization
//! [`Callback::pending_id`]: crate::Callback::pending_id
//! [`Callback::is_prefetch`]: crate::Callback::is_prefetch
