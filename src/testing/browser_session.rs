//! Sign-in sessions of browsers.

use std::collections::HashMap;

use crate::clock::UnixTime;
use crate::testing::token_codec;

/// The name of the session cookie.
const COOKIE_NAME: &str = "mock-webex-session";

/// The user who is signed in and the time of the sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignedIn {
    pub(crate) user: usize,
    pub(crate) at: UnixTime,
}

/// The browsers that have passed the sign-in page and have not visited the logout page since.
#[derive(Default)]
pub(crate) struct Sessions(HashMap<String, SignedIn>);

impl Sessions {
    /// Opens a session and returns its ID for the cookie.
    pub(crate) fn open(&mut self, signed_in: SignedIn, random: [u8; 32]) -> String {
        let name = token_codec::encode_alphanumeric(&random);
        self.0.insert(name.clone(), signed_in);
        name
    }

    pub(crate) fn find(&self, name: Option<&str>) -> Option<SignedIn> {
        self.0.get(name?).copied()
    }

    pub(crate) fn close(&mut self, name: Option<&str>) {
        if let Some(name) = name {
            self.0.remove(name);
        }
    }
}

/// Returns the session ID in a `Cookie` header.
pub(crate) fn session_id_in(cookies: &str) -> Option<&str> {
    let mut cookies = cookies.split(';').filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value)
}

/// Returns the `Set-Cookie` header that stores or removes the session ID.
///
/// `SameSite=Lax` sends the cookie with links from the application, but not with forms and frames
/// of third parties.
pub(crate) fn set_cookie_value(name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{COOKIE_NAME}={name}; Path=/; HttpOnly; SameSite=Lax"),
        None => format!("{COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"),
    }
}
