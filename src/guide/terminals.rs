//! Programs in a terminal: a login by the browser at hand, and the port that it comes back to.
//!
//! A program without a web server of its own opens one for a minute (RFC 8252 section 7.3):
//! [`BrowserLogin`](crate::BrowserLogin), with the feature `loopback`, opens a port of this machine, sends the browser to Webex, and
//! waits until it comes back. Where that browser is elsewhere, the user pastes what it shows:
//!
//! ```
//! use std::io::{IsTerminal as _, stdin};
//! use std::thread;
//! use webex_oauth::BrowserLogin;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # let ports = 15_000 + u16::try_from(std::process::id() % 4_000).unwrap()..20_000;
//! # let free = ports.into_iter().find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
//! # let redirect_uri = format!("http://127.0.0.1:{free}/callback");
//! # let mock = webex_oauth::testing::MockWebex::builder().redirect_uri(redirect_uri).start().await;
//! # let webex = mock.client();
//! // webex: WebexOAuth::from_env()?
//! let login = BrowserLogin::new(&webex).application_name("Acme Rooms");
//! # let login = login.without_browser();
//! let waiting = login.begin()?;
//! println!("Log in here, in your browser:\n\n  {}\n", waiting.url());
//! # waiting.paste_handle().paste(&mock.approve(waiting.url()))?;
//! if stdin().is_terminal() {
//!     println!("If that browser is on another machine, paste the address here that it ends at.");
//!     let paste = waiting.paste_handle();
//!     // A thread and no task: nobody can take back a read of the terminal, and tokio would wait for a task's at its end.
//!     thread::spawn(move || {
//!         for line in stdin().lines().map_while(Result::ok).filter(|line| !line.trim().is_empty()) {
//!             match paste.paste(&line) {
//!                 Ok(()) => break, // how the login ends is what `wait` says
//!                 Err(error) => println!("{error}. Copy the whole address, and try again."),
//!             }
//!         }
//!     });
//! }
//! let login = waiting.wait().await?;
//! # assert_eq!(mock.token_requests(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! A spinner would turn where the user types: show one only where standard input is no terminal. `examples/cli/login.rs` is all
//! of it in a program.
//!
//! # What to register
//!
//! Redirect URIs with a port, such as
//!
//! ```text
//! http://localhost:8765/callback
//! http://localhost:8766/callback
//! ```
//!
//! Standards let a program take any free port. **Webex does not**: it compares the whole URI, port included, with those that are
//! registered. So register two or three whose ports are taken by nothing well known, write exactly those into
//! `redirect_uris([..])`, and the first whose port is free is used. Ports below 1024 take an administrator's rights, a URI
//! without a port means 80, and on many a Mac port 5000 is the system's own.
//!
//! An integration has a client secret, and Webex wants it. **A program that is handed out to users cannot keep one**: what
//! reads your program has it. Use this for your own colleagues, with the secret in their environment or keyring, or let the
//! program log in through a server of yours.
//!
//! # localhost, 127.0.0.1 or `[::1]`?
//!
//! For `localhost` a browser may try either address, and in whichever order it likes. Both are therefore listened at, and if
//! either one is somebody else's, that redirect URI is passed over: it could be they whom the browser finds. On a machine without
//! IPv6 the one is enough. With `127.0.0.1` in the redirect URI there is no such choice; RFC 8252 section 8.3 prefers that.
//!
//! # Where the browser is elsewhere
//!
//! | the program runs | do |
//! |---|---|
//! | over ssh | `ssh -L 8765:localhost:8765 host`: the browser's port 8765 leads to the program's. Open the URL by hand |
//! | in a container | publish nothing: the program listens on the container's own loopback, which `-p` does not reach. Share the host's network (`--network host`), or paste |
//! | under WSL 2 | nothing: Windows passes its `localhost` on, and its browser is opened |
//! | on a server, without any of that | paste |
//!
//! **Pasting**: the browser comes back to its own machine's `localhost`, finds nobody, and shows an error; the callback stands in
//! its address bar. The user copies it into the terminal, and the program hands it to
//! [`PasteHandle::paste`](crate::loopback::PasteHandle::paste), which says at once whether it was the right one. The code in it is good for minutes, once, and for this program alone.
//!
//! **By another device**: a [login on a device](super::devices) needs neither a port nor a browser that comes back, so it is the
//! fallback where none can: over ssh (`SSH_CONNECTION` is set), in a container, or after
//! [`ErrorKind::CallbackServer`](crate::ErrorKind::CallbackServer). Offer it as a choice, too, as `--device` of the example `cli` does. It has
//! four redirect URIs of its own to register.
//!
//! # When nobody comes back
//!
//! After the time limit of five minutes the error says what Webex shows the user and tells nobody else (see
//! [`register`](crate::guide::register#when-no-callback-comes)), with the redirect URI, the client id and the integration id to
//! compare. Print it whole. Where a browser came to the port with TLS, because it insists on https, or with more cookies than a
//! request may have, the error says so first.
//!
//! # What others on this machine can do
//!
//! Everybody who has an account on it can connect to the port; pages of the web in the user's browser can as well.
//!
//! - **They cannot end the login with a code of their own, or with a refusal**: the callback needs the state, 256 bits that only
//!   this program and the browser know. Requests by another host name (DNS rebinding), for another path or by another method are
//!   not looked at.
//! - **They cannot use a code that they overhear**: Webex wants the PKCE verifier with it, which never leaves this program, and
//!   the client secret.
//! - They can be there first, and have the port. Then this program says so, and sends nobody there.
//! - They can keep it busy. At most 32 are connected at a time, each for ten seconds and with 64 KiB; when one more comes, the
//!   one leaves who has said nothing for longest. The browser, which says all at once, gets through a thousand of them.
//! - **Whoever can read this user's files, memory or screen can do anything the user can.** And the URL is handed to the browser
//!   as an argument of a process, which on many systems every user can list: it has the state in it. With that they can end
//!   the login with a refusal; or sign in by the same URL themselves, and hand in the callback, so that the user works in their
//!   account without knowing. Show who has logged in ([`WebexOAuth::identify`](crate::WebexOAuth::identify)); on machines that
//!   are shared with strangers, open the browser by [`open_with`](crate::BrowserLogin::open_with), or not at all.
