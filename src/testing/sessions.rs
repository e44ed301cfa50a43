//! Which browsers are signed in, and as whom.

use std::collections::HashMap;

use crate::clock::UnixTime;
use crate::testing::opaque;

/// The cookie by which a browser is known again.
const COOKIE: &str = "mock-webex-session";

/// Who signed in with a browser, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SignedIn {
    pub(super) user: usize,
    pub(super) at: UnixTime,
}

/// The browsers that have been through a sign-in page and not through the logout page since.
#[derive(Default)]
pub(super) struct Sessions(HashMap<String, SignedIn>);

impl Sessions {
    /// A new session, by the name that the browser keeps.
    pub(super) fn open(&mut self, signed_in: SignedIn, random: [u8; 32]) -> String {
        let name = opaque::text(&random);
        self.0.insert(name.clone(), signed_in);
        name
    }

    pub(super) fn find(&self, name: Option<&str>) -> Option<SignedIn> {
        self.0.get(name?).copied()
    }

    pub(super) fn close(&mut self, name: Option<&str>) {
        if let Some(name) = name {
            self.0.remove(name);
        }
    }
}

/// The session's name among a browser's cookies.
pub(super) fn named_in(cookies: &str) -> Option<&str> {
    let mut cookies = cookies.split(';').filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// What a browser is told to keep, or to forget. Links of the application bring it along, forms and frames of others do not.
pub(super) fn cookie(name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{COOKIE}={name}; Path=/; HttpOnly; SameSite=Lax"),
        None => format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"),
    }
}
