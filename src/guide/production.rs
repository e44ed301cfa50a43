//! Operation of an application: several processes, proxies, keys, shutdown, and alerts.
//!
//! # Several processes
//!
//! All processes that act for the same users share one store. The processes coordinate through it:
//! one of them holds a lease and refreshes a session, and the others continue to use the valid
//! token or wait for the new one.
//!
#![doc = include_str!("refresh.svg")]
//!
//! | processes | store |
//! |---|---|
//! | one, and the sessions may be lost at a restart | [`MemoryStore`](crate::store::MemoryStore) |
//! | any number on one host | [`FileStore`](crate::store::FileStore), on a local file system |
//! | several hosts | your database: implement [`TokenStore`](crate::store::TokenStore) |
//!
//! - **A lease expires.** If a process stops during a refresh, another one continues after at most 90
//!   seconds. Until its expiry, the old token remains usable.
//! - **Clocks** of the hosts may differ by up to ten minutes. Use NTP.
//! - **Removed sessions.** A process notices a
//!   [`remove`](crate::TokenManager::remove) or [`disconnect`](crate::Session::disconnect) of
//!   another process when it next reads the store: within five minutes for a session in use. Until
//!   then it may return the old access token. [`disconnect_everywhere`] revokes the tokens at Webex
//!   as well, if the service supports it.
//! - **New versions.** Stored sessions are versioned. An older version of this crate does not modify
//!   entries of a newer one.
//!
//! [`disconnect_everywhere`]: crate::Session::disconnect_everywhere
//!
//! # Behind a reverse proxy
//!
//! The proxy terminates TLS, and the application listens on an internal address. Set the *public*
//! URL as the redirect URI, exactly as it is registered. Derive neither the redirect URI nor the
//! attribute `Secure` of cookies from a request: `Host` and `X-Forwarded-*` can be forged.
//!
//! The two requests of a login may reach different instances. With
//! [`PendingCookies`](crate::cookies::PendingCookies), the instances share only the encryption keys.
//!
//! # Keys
//!
//! | key | protects | if it is lost | if it is stolen |
//! |---|---|---|---|
//! | client secret | all sessions | a new secret, no session ends | change it in the developer portal |
//! | keys of [`PendingCookies`](crate::cookies::PendingCookies) | pending logins | logins that are pending must be repeated | replace the key |
//! | keys of [`Encrypted`](crate::store::Encrypted) | stored tokens | every user must log in again | replace the key, and revoke the tokens |
//!
//! Use different keys for cookies and for the store. To replace a key, deploy the new one as an
//! additional key first, then make it the first one, and remove the old one when nothing is
//! encrypted with it any more. Keep keys in a secret manager, not in the image or the repository.
//!
//! # Idle sessions
//!
//! Webex refresh tokens expire 90 days after the login (60 days with some scopes), unless a refresh
//! extends them. Run [`KeepAlive`](crate::KeepAlive) in at least one process. Several are harmless, because each
//! session is still refreshed once.
//!
//! # Start and shutdown
//!
//! Create one client and one manager for each integration, and clone them. On a shutdown signal,
//! stop accepting requests, wait for the running ones, and then call
//! [`TokenManager::wait_idle`](crate::TokenManager::wait_idle), which saves new tokens. A process
//! that is killed instead loses no session: Webex keeps the refresh token valid, and the next process
//! refreshes again.
//!
//! # Alerts
//!
//! | condition | source | meaning |
//! |---|---|---|
//! | [`Error::is_misconfigured`](crate::Error::is_misconfigured) | result, or log event of level WARN | client ID, client secret, or a scope is wrong: correct the configuration; the sessions are kept |
//! | [`SessionState::LoginRequired`](crate::SessionState::LoginRequired) | [`TokenManagerBuilder::on_event`](crate::TokenManagerBuilder::on_event), [`Session::status`](crate::Session::status) | notify this user; many at once point to a change in the organization |
//! | a session expires within two weeks | `on_event` | ask the user to log in |
//! | [`Error::is_retryable`](crate::Error::is_retryable) for more than an hour | log event of level WARN | Webex, the network, or the store is unavailable |
//!
//! Log the whole error (`{:#}`): it contains the tracking ID for Cisco support, and no secret.
