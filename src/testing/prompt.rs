//! Whether anybody must be asked anything: `prompt`, `max_age` and `login_hint` of a request, and who is signed in already.
//!
//! The rules are those of OpenID Connect Core 1.0 section 3.1.2.1; Webex documents `none` and `select_account` alone.

use crate::clock::UnixTime;
use crate::testing::exchange::Fields;
use crate::testing::sessions::SignedIn;
use crate::testing::sign_in_page::Why;
use crate::testing::visits::Stage;

/// What comes next for a browser.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It goes back at once, with the consent that this user has given before.
    Nothing(SignedIn),
    Page {
        stage: Stage,
        /// Whether the user is asked again who has consented before.
        asks_again: bool,
    },
}

/// Why a request that forbids pages needs one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// `none` stands beside another word.
    Contradiction,
    /// Nobody is signed in, not lately enough, or somebody else is.
    LoginRequired,
    /// The user has not consented to all that is asked for.
    ConsentRequired,
}

/// Who sits at a browser, and when.
pub(super) struct Visitor {
    pub(super) signed_in: Option<SignedIn>,
    /// The user that `login_hint` names.
    pub(super) hinted: Option<usize>,
    pub(super) now: UnixTime,
}

/// Reads a request; `has_consented` says of a user whether all that is asked for was granted before. Words of `prompt` that
/// nobody knows are passed over.
pub(super) fn next(query: &Fields, visitor: &Visitor, has_consented: impl Fn(usize) -> bool) -> Result<Next, Blocked> {
    let words: Vec<_> = query.get("prompt").unwrap_or_default().split(' ').filter(|word| !word.is_empty()).collect();
    let has = |word: &str| words.contains(&word);
    let asks_again = has("consent");
    let page = |stage| Ok(Next::Page { stage, asks_again });
    if has("none") && words.len() > 1 {
        return Err(Blocked::Contradiction);
    }
    if has("login") {
        return page(Stage::SignIn(Why::Again));
    }
    if has("select_account") {
        return page(Stage::SignIn(Why::Choice));
    }
    match stage(query, visitor) {
        Stage::SignIn(_) if has("none") => Err(Blocked::LoginRequired),
        Stage::Consent(signed_in) if has_consented(signed_in.user) && !asks_again => Ok(Next::Nothing(signed_in)),
        Stage::Consent(_) if has("none") => Err(Blocked::ConsentRequired),
        stage => page(stage),
    }
}

/// Where the login stands if `prompt` says nothing. `max_age=0` always wants a new sign-in.
fn stage(query: &Fields, visitor: &Visitor) -> Stage {
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

    /// User 0 is signed in for a minute, and has consented; user 1 has not.
    #[test]
    fn what_a_request_shows_to_whom() {
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
            ("prompt=none", Some(bob), None, Err(Blocked::ConsentRequired)),
            ("prompt=none", None, None, Err(Blocked::LoginRequired)),
            ("prompt=none&max_age=59", Some(jane), None, Err(Blocked::LoginRequired)),
            ("prompt=none&login_hint=bob", Some(jane), Some(1), Err(Blocked::LoginRequired)),
            ("prompt=none+login", Some(jane), None, Err(Blocked::Contradiction)),
        ] {
            let visitor = Visitor { signed_in: browser, hinted, now: UnixTime::from_secs(NOW) };
            let found = next(&Fields::parse(query.as_bytes()), &visitor, |user| user == 0);
            assert_eq!(found, expected, "{query:?}, {hinted:?}");
        }
    }
}
