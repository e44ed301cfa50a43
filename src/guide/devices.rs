//! Login on a device without a browser: a television, a room device, or a remote command line.
//!
//! The device shows a code. The user opens a page on a phone, enters the code, and consents.
//! Meanwhile the device polls Webex, and receives the tokens a few seconds later (RFC 8628,
//! <https://developer.webex.com/docs/login-with-webex>).
//!
#![doc = include_str!("device_login.svg")]
//!
//! # Registration
//!
//! [Register an integration](super::register) with **all four**
//! [`DEVICE_REDIRECT_URIS`](crate::DEVICE_REDIRECT_URIS), in addition to its own redirect URIs:
//!
//! ```text
//! https://oauth-helper-a.wbx2.com/helperservice/v1/actions/device/callback
//! https://oauth-helper-d.wbx2.com/helperservice/v1/actions/device/callback
//! https://oauth-helper-k.wbx2.com/helperservice/v1/actions/device/callback
//! https://oauth-helper-r.wbx2.com/helperservice/v1/actions/device/callback
//! ```
//!
//! Each URI serves one region. If one is missing, users of that region cannot log in, while others
//! can. The device needs the client secret. If third parties can disassemble the device, let it log
//! in through your server.
//!
//! # A command line
//!
//! ```
//! use webex_oauth::store::{MemoryStore, TokenKey};
//! use webex_oauth::{DeviceLogin, TokenManager};
//!
//! # use webex_oauth::testing::MockWebex;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # use webex_oauth::clock::{ManualClock, UnixTime};
//! # let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
//! # let mock = MockWebex::builder().clock(clock).start().await;
//! # let webex = mock.client();
//! // webex: WebexOAuth::from_env()?
//! let manager = TokenManager::new(webex.clone(), MemoryStore::new())?; // or a FileStore
//! let mut device = DeviceLogin::start(&webex).await?;
//! println!("{device}"); // Open https://… and enter 061992.
//! # mock.approve_device(device.user_code());
//! let session = manager.put(&TokenKey::new("me")?, device.wait().await?).await?;
//! let person = session.person().await?;
//! println!("Logged in as {}.", person.email().unwrap_or("(no e-mail address)"));
//! # Ok(())
//! # }
//! ```
//!
//! # A screen
//!
//! Show the URL, the code, and a QR code of both (feature `qr`, `DeviceLogin::qr`). Always show the
//! code in addition to the QR code. The user compares it with the code on the phone to avoid
//! authorizing another person's device (RFC 8628, section 3.3.1). Then handle each
//! [`DeviceState`](crate::DeviceState):
//!
//! | state | meaning | show |
//! |---|---|---|
//! | [`Pending { .. }`](crate::DeviceState::Pending) | the user has not entered the code yet | the code and the remaining time |
//! | [`SlowedDown { interval, .. }`](crate::DeviceState::SlowedDown) | the same; Webex requested a longer polling interval | the same |
//! | [`PollFailed { error, .. }`](crate::DeviceState::PollFailed) | Webex or the network is unavailable, or Webex requested a pause (`error.retry_after()`); polling continues | the code and a note about the delay |
//! | [`LoggedIn(login)`](crate::DeviceState::LoggedIn) | the login is complete | the account: [`WebexOAuth::identify`](crate::WebexOAuth::identify) |
//! | [`Denied(error)`](crate::DeviceState::Denied) | the user declined | a message and a button for a new code |
//! | [`Expired(error)`](crate::DeviceState::Expired) | the code expired before the user entered it | a button for a new code |
//! | [`Failed(error)`](crate::DeviceState::Failed) | the login failed; the error determines who must act | the error; a button for a new code if [`is_login_required`](crate::Error::is_login_required) |
//!
//! Later versions may add states, so the `match` ends with `_ => {}`:
//!
//! ```
//! use webex_oauth::{DeviceLogin, DeviceState, Login};
//!
//! # use webex_oauth::testing::MockWebex;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # use webex_oauth::clock::{ManualClock, UnixTime};
//! # let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
//! # let mock = MockWebex::builder().clock(clock).start().await;
//! # let webex = mock.client();
//! // webex: WebexOAuth::from_env()?
//! let mut device = DeviceLogin::start(&webex).await?;
//! # mock.approve_device(device.user_code());
//! println!("{}", device.qr()?.light_on_dark()); // for a terminal; `to_svg` for a page
//! let mut login: Option<Login> = None;
//! while let Some(state) = device.next().await {
//!     println!("{}  {state}", device.user_code()); // one line for the user
//!     match state {
//!         DeviceState::LoggedIn(done) => login = Some(done),
//!         DeviceState::Failed(error) if error.is_login_required() => {
//!             println!("{error}: request a new code");
//!         }
//!         DeviceState::Failed(error) => println!("{error}"),
//!         _ => {}
//!     }
//! }
//! # assert!(login.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # A countdown
//!
//! States arrive a few seconds apart, with the responses from Webex. In between, show
//! [`time_left`](crate::DeviceLogin::time_left). Dropping the future of
//! [`next`](crate::DeviceLogin::next) every second is safe:
//!
//! ```
//! use std::time::Duration;
//! use webex_oauth::{DeviceLogin, Result};
//!
//! async fn show(device: &mut DeviceLogin) -> Result<()> {
//!     // Requires the features `macros` and `time` of tokio.
//!     let mut second = tokio::time::interval(Duration::from_secs(1));
//!     loop {
//!         tokio::select! {
//!             state = device.next() => match state {
//!                 Some(state) => println!("{state}"),
//!                 None => return Ok(()),
//!             },
//!             _ = second.tick() => println!("{} s left", device.time_left().as_secs()),
//!         }
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! # use webex_oauth::clock::{ManualClock, UnixTime};
//! # let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
//! # let mock = webex_oauth::testing::MockWebex::builder().clock(clock).start().await;
//! # let mut device = DeviceLogin::start(&mock.client()).await?;
//! # mock.approve_device(device.user_code());
//! # show(&mut device).await
//! # }
//! ```
//!
//! Start a new login only when a user asks for it. A device that requests codes all night wastes
//! requests and is rate limited.
//!
//! # Restarts
//!
//! [`DeviceLogin::to_stored`](crate::DeviceLogin::to_stored) converts a login to a string, and
//! [`DeviceLogin::from_stored`](crate::DeviceLogin::from_stored) continues it with the same code.
//! It accepts an expired code as well: check [`time_left`](crate::DeviceLogin::time_left) before
//! you show it.
//!
//! # Failures
//!
//! | error | cause | fix |
//! |---|---|---|
//! | at the start: [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) | OpenID Connect scopes, which Webex does not support for devices; or Webex Meetings | omit the scopes, and use `identify` |
//! | at the start: [`is_misconfigured`](crate::Error::is_misconfigured) | the client ID, an unregistered scope, or one of the four redirect URIs | register them |
//! | at the start: [`retry_after`](crate::Error::retry_after) | too many devices at once | wait for this duration |
//! | the user sees an error, and the code expires | one of the four redirect URIs, or the integration is not [approved](super::register#approval-by-an-administrator) | register them; ask the administrator |
//! | [`ErrorKind::DeviceCodeExpired`](crate::ErrorKind::DeviceCodeExpired) | the user did not enter the code in time | offer a new code |
//! | [`is_denied`](crate::Error::is_denied) | the user declined | inform the user |
//! | [`is_misconfigured`](crate::Error::is_misconfigured) while waiting | the client secret | copy it again |
//! | [`is_login_required`](crate::Error::is_login_required) with `tokenlimit_reached` | the user has too many tokens of this integration (750) | revoke some or wait, then start a new login |
//! | [`is_login_required`](crate::Error::is_login_required) with `invalid_grant` | the code was used, by another copy of this login or by a request whose response was lost | offer a new code |
