//! Log in on a device without a browser: a television, a room device, a command line on another machine.
//!
//! The device shows a code. Its user opens a page on a phone, enters the code and consents; the device asks meanwhile, and has
//! the tokens some seconds later (RFC 8628, <https://developer.webex.com/docs/login-with-webex>).
//!
//! # What to register
//!
//! [An integration](super::register) with, beside its own redirect URIs, **all four** of
//! [`DEVICE_REDIRECT_URIS`](crate::DEVICE_REDIRECT_URIS):
//!
//! ```text
//! https://oauth-helper-a.wbx2.com/helperservice/v1/actions/device/callback
//! https://oauth-helper-d.wbx2.com/helperservice/v1/actions/device/callback
//! https://oauth-helper-k.wbx2.com/helperservice/v1/actions/device/callback
//! https://oauth-helper-r.wbx2.com/helperservice/v1/actions/device/callback
//! ```
//!
//! Webex answers there, one for each region. With one of them missing, some users cannot log in, and all that the others
//! see is that it works. The device needs the client secret, so a device that strangers can take apart should ask a
//! server of yours to log it in.
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
//! # let clock = webex_oauth::clock::ManualClock::new(webex_oauth::clock::UnixTime::from_secs(1_700_000_000)).skipping_sleep();
//! # let mock = MockWebex::builder().clock(clock).start().await;
//! # let webex = mock.client();
//! // webex: WebexOAuth::from_env()?
//! let manager = TokenManager::new(webex.clone(), MemoryStore::new())?; // or a store that outlives the program
//! let mut device = DeviceLogin::start(&webex).await?;
//! println!("{device}"); // Open https://.. and enter 061992.
//! # mock.approve_device(device.user_code());
//! let session = manager.put(&TokenKey::new("me")?, device.wait().await?).await?;
//! println!("Logged in as {}.", session.account().await?);
//! # session.access_token().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # A screen
//!
//! Show the address, the code, and a QR code of both (feature `qr`, `DeviceLogin::qr`). Keep the code beside the QR code: the user
//! compares it with what the phone shows, so that nobody logs in a device that is not theirs (RFC 8628 section 3.3.1). Then take the
//! states as they come:
//!
//! | state | means | show |
//! |---|---|---|
//! | [`Pending`](crate::DeviceState::Pending) | nobody has entered the code yet | the code, and the time that is left |
//! | [`SlowedDown`](crate::DeviceState::SlowedDown) | the same; Webex wants to be asked less often | the same |
//! | [`Trouble`](crate::DeviceState::Trouble) | Webex or the network is away, or Webex asks for a pause (`error.retry_after()`); it is asked again by itself | the code, and that it takes longer |
//! | [`LoggedIn`](crate::DeviceState::LoggedIn) | the tokens are here | who it is: [`WebexOAuth::identify`](crate::WebexOAuth::identify) |
//! | [`Denied`](crate::DeviceState::Denied) | the user said no | that, and a button for a new code |
//! | [`Expired`](crate::DeviceState::Expired) | nobody entered the code in time | a button for a new code |
//! | [`Failed`](crate::DeviceState::Failed) | the error says who can help | what it says; a button for a new code where [`is_login_required`](crate::Error::is_login_required) |
//!
//! ```
//! use webex_oauth::{DeviceLogin, DeviceState, Login};
//!
//! # use webex_oauth::testing::MockWebex;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # let clock = webex_oauth::clock::ManualClock::new(webex_oauth::clock::UnixTime::from_secs(1_700_000_000)).skipping_sleep();
//! # let mock = MockWebex::builder().clock(clock).start().await;
//! # let webex = mock.client();
//! // webex: WebexOAuth::from_env()?
//! let mut device = DeviceLogin::start(&webex).await?;
//! # mock.approve_device(device.user_code());
//! let mut login: Option<Login> = None;
//! while let Some(state) = device.next().await {
//!     println!("{}  {state}", device.user_code()); // the `Display` of a state is a line for the user
//!     match state {
//!         DeviceState::LoggedIn(done) => login = Some(done),
//!         DeviceState::Failed(error) if error.is_login_required() => println!("{error}: ask for a new code"),
//!         DeviceState::Failed(error) => println!("{error}"),
//!         _ => {}
//!     }
//! }
//! # assert!(login.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # A line that counts seconds
//!
//! States come with Webex's answers, some seconds apart. Between them, count with
//! [`time_left`](crate::DeviceLogin::time_left); dropping [`next`](crate::DeviceLogin::next) each second costs nothing:
//!
//! ```
//! use std::time::Duration;
//! use webex_oauth::{DeviceLogin, Result};
//!
//! async fn show(device: &mut DeviceLogin) -> Result<()> {
//!     let mut second = tokio::time::interval(Duration::from_secs(1)); // tokio's features `macros` and `time`
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
//! # let clock = webex_oauth::clock::ManualClock::new(webex_oauth::clock::UnixTime::from_secs(1_700_000_000)).skipping_sleep();
//! # let mock = webex_oauth::testing::MockWebex::builder().clock(clock).start().await;
//! # let mut device = DeviceLogin::start(&mock.client()).await?;
//! # mock.approve_device(device.user_code());
//! # show(&mut device).await
//! # }
//! ```
//!
//! A new code is for somebody who asks for it: a device that begins logins by itself all night long wears Webex out.
//!
//! # A restart
//!
//! [`DeviceLogin::to_stored`](crate::DeviceLogin::to_stored) writes the login down, and
//! [`DeviceLogin::from_stored`](crate::DeviceLogin::from_stored) goes on with it, with the same code on the screen. It takes a code that
//! has expired meanwhile, too: look at [`time_left`](crate::DeviceLogin::time_left) before you show it.
//!
//! # When it fails
//!
//! | error | reason | mend |
//! |---|---|---|
//! | at the start: [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) | scopes of OpenID Connect, which Webex has not for devices; or Webex Meetings | leave them out; `identify` tells who it is |
//! | at the start: [`is_misconfigured`](crate::Error::is_misconfigured) | the client id, a scope that is not registered, or one of the four redirect URIs | register them |
//! | at the start: [`retry_after`](crate::Error::retry_after) | too many devices at once | wait so long |
//! | the user sees an error, and the code expires | one of the four redirect URIs, or an administrator who has not [approved](super::register) the integration | register them; ask the administrator |
//! | [`ErrorKind::DeviceCodeExpired`](crate::ErrorKind::DeviceCodeExpired) | nobody entered the code in time | offer another |
//! | [`is_denied`](crate::Error::is_denied) | the user said no | say so |
//! | [`is_misconfigured`](crate::Error::is_misconfigured) while it waits | the client secret | copy it again |
//! | [`is_login_required`](crate::Error::is_login_required), with the code `tokenlimit_reached` | the user has too many tokens of this integration (750) | revoke some or wait, then begin a new login |
//! | [`is_login_required`](crate::Error::is_login_required), with `invalid_grant` | the code is used up: by another copy of this login, or by an answer that was lost | offer another |
