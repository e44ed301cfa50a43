//! Login in a local browser for terminal programs.
//!
//! A program without a web server listens on a loopback port during the login (RFC 8252, section
//! 7.3). [`BrowserLogin`](crate::BrowserLogin) (feature `loopback`) opens the port, opens the
//! browser, and waits for the callback. If the browser runs on another host, the user pastes the
//! callback URL:
//!
//! ```
//! use std::io::{IsTerminal as _, stdin};
//! use std::thread;
//! use webex_oauth::BrowserLogin;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # let mut ports = 15_000 + u16::try_from(std::process::id() % 4_000).unwrap()..20_000;
//! # let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
//! # let redirect_uri = format!("http://127.0.0.1:{}/callback", ports.find(is_free).unwrap());
//! # let mock = webex_oauth::testing::MockWebex::builder().redirect_uri(redirect_uri);
//! # let mock = mock.start().await;
//! # let webex = mock.client();
//! // webex: WebexOAuth::from_env()?
//! let login = BrowserLogin::new(&webex).application_name("Acme Rooms");
//! # let login = login.without_browser();
//! let waiting = login.begin()?;
//! println!("Log in with your browser:\n\n  {}\n", waiting.url());
//! # waiting.paste_handle().paste(&mock.approve(waiting.url()))?;
//! if stdin().is_terminal() {
//!     println!("If the browser runs on another host, paste the URL of its last page here.");
//!     let paste = waiting.paste_handle();
//!     // A thread, not a task: a blocking read of the terminal cannot be canceled, and
//!     // Tokio would wait for it when the runtime shuts down.
//!     thread::spawn(move || {
//!         let lines = stdin().lines().map_while(Result::ok);
//!         for line in lines.filter(|line| !line.trim().is_empty()) {
//!             match paste.paste(&line) {
//!                 Ok(()) => break, // `wait` returns the result of the login
//!                 Err(error) => println!("{error}. Copy the whole URL and try again."),
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
//! Show a spinner only if standard input is not a terminal, because it would disturb the user's
//! input. `examples/cli` in the repository contains a complete program.
//!
//! # Registration
//!
//! Register redirect URIs with a port, such as
//!
//! ```text
//! http://localhost:8765/callback
//! http://localhost:8766/callback
//! ```
//!
//! RFC 8252 allows any free port. **Webex does not**: it compares the whole URI, including the
//! port, with the registered ones. Register two or three whose ports are rarely used, and pass
//! exactly those to `redirect_uris([..])`. The first one whose port is free is used. Ports below
//! 1024 require administrator rights, a URI without a port means port 80, and macOS itself often
//! uses port 5000.
//!
//! Webex requires the client secret of the integration. **A program that is distributed to users
//! cannot keep a secret**: anyone who can read the program can read the secret. Use this login for
//! colleagues, with the secret in their environment or keyring, or let the program log in through
//! your server.
//!
//! # localhost, 127.0.0.1, or `[::1]`
//!
//! A browser may resolve `localhost` to either address, in any order. Therefore both are opened. If
//! another process uses one of them, that redirect URI is skipped, because the browser might reach
//! that process. On hosts without IPv6, one address is sufficient. RFC 8252, section 8.3, prefers
//! `127.0.0.1` in the redirect URI, which avoids the ambiguity.
//!
//! # Browser on another host
//!
//! | the program runs | solution |
//! |---|---|
//! | over SSH | forward the port with `ssh -L 8765:localhost:8765 host`, and open the URL manually |
//! | in a container | share the host's network (`--network host`), or paste; `-p` does not reach the container's loopback address |
//! | in WSL 2 | works: Windows forwards `localhost`, and its browser is opened |
//! | on a server without these options | paste, or use a device login |
//!
//! **Pasting**: the browser is redirected to `localhost` on its own host, where no program listens,
//! and shows an error page. The address bar contains the callback URL. The user copies it into the
//! terminal, and the program passes it to
//! [`PasteHandle::paste`](crate::loopback::PasteHandle::paste), which validates it immediately. The
//! code in the URL is valid for a few minutes, once, and only for this program.
//!
//! **Device login**: a [device login](super::devices) needs no port and no callback. Use it as the
//! fallback over SSH (`SSH_CONNECTION` is set), in a container, or after
//! [`ErrorKind::CallbackServer`](crate::ErrorKind::CallbackServer). Offer it as an option as well,
//! as the example `cli` does with `--device`. It requires four additional redirect URIs.
//!
//! # Timeout
//!
//! The login times out after five minutes by default. The error then lists the problems that Webex
//! shows only to the user (see [`guide::register`](crate::guide::register#when-no-callback-comes)),
//! with the redirect URI, the client ID, and the Integration ID to compare. Print the whole error.
//! If the browser connected with TLS, because it enforces HTTPS, or sent too many cookies, the
//! error states that first.
//!
//! # Security
//!
//! Every user of the host can connect to the port, and so can web pages in the user's browser.
//!
//! - **They cannot complete the login with their own code or with an error.** The callback requires
//!   `state`, 256 random bits known only to this program and the browser. Requests with another
//!   host name (DNS rebinding), path, or method are ignored.
//! - **They cannot use an intercepted code.** Webex requires the code verifier, which never leaves
//!   this program, and the client secret.
//! - **They can occupy the port first.** The login then fails with an error, and the browser is not
//!   opened.
//! - **They can open many connections.** At most 32 are accepted at a time, each for ten seconds
//!   and with up to 64 KiB. An additional connection replaces the one that has been silent for the
//!   longest time. A browser sends its request immediately and succeeds among a thousand such
//!   connections.
//! - **A process that can read the user's files, memory, or screen can act as the user.**
//! - **The browser's command line contains `state`.** On many systems, every user can list the
//!   arguments of processes. With `state`, they can fail the login with an error, or sign in with
//!   the same URL and send the callback. The user would then work in the attacker's account. Show
//!   the account after the login ([`WebexOAuth::identify`](crate::WebexOAuth::identify)). On hosts
//!   shared with untrusted users, open the browser with
//!   [`open_with`](crate::BrowserLogin::open_with), or let the user open the URL.
