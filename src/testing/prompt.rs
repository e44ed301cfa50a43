//! The interaction that a request requires: `prompt`, `max_age`, `login_hint`, and the signed-in
//! user.
//!
//! The rules are those of OpenID Connect Core 1.0, section 3.1.2.1. Webex documents only `none` and
//! `select_account`.

use crate::clock::UnixTime;
use crate::testing::exchange::Fields;
use crate::testing::sessions::SignedIn;
use crate::testing::sign_in_page::Why;
use crate::testing::visits::Stage;

/// The next step of a browser.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// An immediate redirect, based on an earlier consent of this user.
    Nothing(SignedIn),
    Page {
        stage: Stage,
        /// `true` if a user who consented before is asked again.
        asks_again: bool,
    },
}

/// The error of a request that forbids pages but requires one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InteractionRequired {
    /// `none` is combined with another value.
    Contradiction,
    /// No user is signed in, the sign-in is too old, or another user is signed in.
    LoginRequired,
    /// The user has not consented to all requested scopes.
    ConsentRequired,
}

/// The signed-in user of a browser and the current time.
pub(super) struct BrowserSession {
    pub(super) signed_in: Option<SignedIn>,
    /// The user in `login_hint`.
    pub(super) hinted: Option<usize>,
    pub(super) now: UnixTime,
}

/// Returns the next step for a request.
///
/// `has_consented` returns `true` if a user consented to everything requested. Unknown values of
/// `prompt` are ignored.
pub(super) fn next_page(
    query: &Fields,
    visitor: &BrowserSession,
    has_consented: impl Fn(usize) -> bool,
) -> Result<Next, InteractionRequired> {
    let words: Vec<_> = query.get("prompt").unwrap_or_default().split(' ').filter(|word| !word.is_empty()).collect();
    let has = |word: &str| words.contains(&word);
    let asks_again = has("consent");
    let page = |stage| Ok(Next::Page { stage, asks_again });
    if has("none") && words.len() > 1 {
        return Err(InteractionRequired::Contradiction);
    }
    if has("login") {
        return page(Stage::SignIn(Why::Again));
    }
    if has("select_account") {
        return page(Stage::SignIn(Why::Choice));
    }
    match stage(query, visitor) {
        Stage::SignIn(_) if has("none") => Err(InteractionRequired::LoginRequired),
        Stage::Consent(signed_in) if has_consented(signed_in.user) && !asks_again => Ok(Next::Nothing(signed_in)),
        Stage::Consent(_) if has("none") => Err(InteractionRequired::ConsentRequired),
        stage => page(stage),
    }
}

/// Returns the stage for a request without `prompt`. `max_age=0` always requires a new sign-in.
fn stage(query: &Fields, visitor: &BrowserSession) -> Stage {
    let max_age: Option<u64> = query.filled("max_age").and_then(|text| text.parse().ok());
    let age = |at: UnixTime| visitor.now.since(at).as_secs();
    let is_fresh = |at| max_age.is_none_or(|seconds| seconds > 0 && age(at) <= seconds);
    let is_meant = |user| query.filled("login_hint").is_none() || visitor.hinted == Some(user);
    match visitor.signed_in.filter(|signed_in| is_meant(signed_in.user)) {
        Some(signed_in) if is_fresh(signed_in.at) => Stage::Consent(signed_in),
        Some(_) => Stage::SignIn(Why::Again),
        None => Stage::SignIn(Why::Nobody),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn signed_in(user: usize, seconds_ago: u64) -> SignedIn {
        SignedIn { user, at: UnixTime::from_secs(NOW - seconds_ago) }
    }

    /// User 0 signed in a minute ago and has consented; user 1 has not.
    #[test]
    fn next_page_depends_on_prompt_and_browser_session() {
        let page = |stage| Ok(Next::Page { stage, asks_again: false });
        let again = |stage| Ok(Next::Page { stage, asks_again: true });
        let sign_in = |why| page(Stage::SignIn(why));
        let (jane, bob) = (signed_in(0, 60), signed_in(1, 60));
        let silent = || Ok(Next::Nothing(jane));
        for (query, browser, hinted, expected) in [
            ("", None, None, sign_in(Why::Nobody)),
            ("", Some(jane), None, silent()),
            ("", Some(bob), None, page(Stage::Consent(bob))),
            ("prompt=", Some(jane), None, silent()),
            ("prompt=what", Some(jane), None, silent()),
            ("prompt=login", Some(jane), None, sign_in(Why::Again)),
            ("prompt=select_account", Some(jane), None, sign_in(Why::Choice)),
            ("prompt=consent", Some(jane), None, again(Stage::Consent(jane))),
            ("prompt=consent", None, None, again(Stage::SignIn(Why::Nobody))),
            ("prompt=login+consent", Some(jane), None, again(Stage::SignIn(Why::Again))),
            ("login_hint=bob", Some(jane), Some(1), sign_in(Why::Nobody)),
            ("login_hint=nobody", Some(jane), None, sign_in(Why::Nobody)),
            ("login_hint=jane", Some(jane), Some(0), silent()),
            ("max_age=60", Some(jane), None, silent()),
            ("max_age=59", Some(jane), None, sign_in(Why::Again)),
            ("max_age=0", Some(signed_in(0, 0)), None, sign_in(Why::Again)),
            ("prompt=none", Some(jane), None, silent()),
            ("prompt=none", Some(bob), None, Err(InteractionRequired::ConsentRequired)),
            ("prompt=none", None, None, Err(InteractionRequired::LoginRequired)),
            ("prompt=none&max_age=59", Some(jane), None, Err(InteractionRequired::LoginRequired)),
            ("prompt=none&login_hint=bob", Some(jane), Some(1), Err(InteractionRequired::LoginRequired)),
            ("prompt=none+login", Some(jane), None, Err(InteractionRequired::Contradiction)),
        ] {
            let visitor = BrowserSession { signed_in: browser, hinted, now: UnixTime::from_secs(NOW) };
            let found = next_page(&Fields::parse(query.as_bytes()), &visitor, |user| user == 0);
            assert_eq!(found, expected, "{query:?}, {hinted:?}");
        }
    }
}
