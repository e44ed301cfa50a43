//! What a login may do: scopes, one and many.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// One scope (RFC 6749 section 3.3), such as `spark:all`.
///
/// The constants name the common ones; any other text of visible ASCII characters except `"`, `\` and `,` is a scope too,
/// since Webex adds new ones.
///
/// # Example
///
/// ```
/// use webex_oauth::Scope;
///
/// assert_eq!(Scope::SPARK_ALL.as_str(), "spark:all");
/// let rooms: Scope = "spark:rooms_read".parse()?;
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Cow<'static, str>);

impl Scope {
    /// Asks for an ID token: Login with Webex.
    pub const OPENID: Self = Self(Cow::Borrowed("openid"));
    /// Adds the e-mail address to what Login with Webex tells.
    pub const EMAIL: Self = Self(Cow::Borrowed("email"));
    /// Adds names and locale to what Login with Webex tells.
    pub const PROFILE: Self = Self(Cow::Borrowed("profile"));
    /// Everything a user can do: all user-level `spark:` scopes. It does not cover a request for one of them by name.
    pub const SPARK_ALL: Self = Self(Cow::Borrowed("spark:all"));
    /// Access to the keys of encrypted content; Webex adds it to most integrations by itself.
    pub const SPARK_KMS: Self = Self(Cow::Borrowed("spark:kms"));
    /// Reading people, the logged-in person among them.
    pub const SPARK_PEOPLE_READ: Self = Self(Cow::Borrowed("spark:people_read"));
    /// Webex Meetings: read everything the user can see.
    pub const ALL_READ: Self = Self(Cow::Borrowed("all_read"));
    /// Webex Meetings: change user details.
    pub const USER_MODIFY: Self = Self(Cow::Borrowed("user_modify"));
    /// Webex Meetings: create and change scheduled meetings.
    pub const MEETING_MODIFY: Self = Self(Cow::Borrowed("meeting_modify"));
    /// Webex Meetings: change recordings.
    pub const RECORDING_MODIFY: Self = Self(Cow::Borrowed("recording_modify"));
    /// Webex Meetings: change site settings; for administrators.
    pub const SETTING_MODIFY: Self = Self(Cow::Borrowed("setting_modify"));

    /// The scope as it is written in a request.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = Error;

    /// Reads one scope.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Input`] when the text is empty or has a character that a scope cannot have.
    fn from_str(text: &str) -> Result<Self> {
        if is_scope(text) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            let message = "a scope must be one or more visible ASCII characters other than '\"', '\\' and ','";
            Err(Error::new(ErrorKind::Input, message))
        }
    }
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || c == ','
}

fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\,".contains(&byte))
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl AsRef<str> for Scope {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A set of scopes, in the order in which they were written, without repetitions.
///
/// Comparing two sets ignores the order: Webex answers in an order of its own.
///
/// # Example
///
/// ```
/// use webex_oauth::{Scope, Scopes};
///
/// let scopes: Scopes = "spark:all spark:kms".parse()?;
/// assert!(scopes.contains("spark:kms"));
/// assert_eq!(scopes, Scopes::from_iter([Scope::SPARK_KMS, Scope::SPARK_ALL]));
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// No scope at all.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether exactly this scope is among them; `spark:all` contains no other.
    pub fn contains(&self, scope: impl AsRef<str>) -> bool {
        self.0.iter().any(|own| own.as_str() == scope.as_ref())
    }

    /// The scopes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Scope> {
        self.0.iter()
    }

    /// The scopes of this set that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        self.0.iter().filter(|scope| !other.contains(scope)).cloned().collect()
    }

    /// Adds one, unless it is there already.
    pub(crate) fn insert(&mut self, scope: Scope) {
        if !self.contains(&scope) {
            self.0.push(scope);
        }
    }

    /// What a server wrote: separated by spaces or commas; what no scope can be is left out.
    pub(crate) fn from_server(text: &str) -> Self {
        text.split(is_separator).filter_map(|part| part.parse().ok()).collect()
    }
}

impl FromStr for Scopes {
    type Err = Error;

    /// Reads scopes separated by white space or commas.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Input`] when one of them has a character that a scope cannot have.
    fn from_str(text: &str) -> Result<Self> {
        let mut scopes = Self::new();
        for part in text.split(is_separator).filter(|part| !part.is_empty()) {
            scopes.insert(part.parse()?);
        }
        Ok(scopes)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut set = Self::new();
        set.extend(scopes);
        set
    }
}

impl Extend<Scope> for Scopes {
    fn extend<I: IntoIterator<Item = Scope>>(&mut self, scopes: I) {
        for scope in scopes {
            self.insert(scope);
        }
    }
}

impl PartialEq for Scopes {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.0.iter().all(|scope| other.contains(scope))
    }
}

impl Eq for Scopes {}

impl fmt::Display for Scopes {
    /// The form of requests and answers: separated by one space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, scope) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_keep_their_order_lose_repetitions_and_compare_as_sets() {
        let scopes: Scopes = " spark:kms,\tspark:all  spark:kms ".parse().unwrap();
        assert_eq!(scopes.to_string(), "spark:kms spark:all");
        assert_eq!(scopes, "spark:all spark:kms".parse().unwrap());
        assert_ne!(scopes, "spark:all".parse().unwrap());
    }

    #[test]
    fn what_no_request_could_carry_is_refused() {
        for bad in ["", "a b", "spark:all\r\nX: y", "sp\"ark", "sp\\ark", "a,b", "umläut"] {
            assert_eq!(bad.parse::<Scope>().unwrap_err().kind(), ErrorKind::Input, "{bad:?}");
        }
        assert!("spark:all \u{7f}".parse::<Scopes>().is_err());
    }

    #[test]
    fn spark_all_covers_no_other_scope() {
        let granted: Scopes = "spark:all".parse().unwrap();
        let asked: Scopes = "spark:all spark:people_read".parse().unwrap();
        assert_eq!(asked.without(&granted).to_string(), "spark:people_read");
    }
}
