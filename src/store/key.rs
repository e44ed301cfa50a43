//! The application's own name for a login.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// The longest part of a key, in bytes.
const LONGEST_PART: usize = 255;

/// The application's own name for a login: a tenant, a user, or a tenant and a user.
///
/// Each part is 1 to 255 bytes of any text; nothing in it has a meaning, and keys that differ in one byte are different.
/// Keys are no secrets: they appear in errors and logs.
///
/// # Example
///
/// ```
/// use webex_oauth::store::TokenKey;
///
/// let product = TokenKey::new("cust10001")?;
/// let jane = TokenKey::new("cust10001")?.user("jane@example.com")?;
/// assert_ne!(product, jane);
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenKey {
    /// Both parts, one after the other; no separator, so that none can be smuggled in.
    text: Box<str>,
    /// Where the first part ends; 0 when there is only one.
    split: u8,
}

impl TokenKey {
    /// A key of one part.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when the part is empty or longer than 255 bytes.
    pub fn new(tenant: impl AsRef<str>) -> Result<Self> {
        let tenant = checked(tenant.as_ref())?;
        Ok(Self { text: tenant.into(), split: 0 })
    }

    /// The key of one user below this one; it replaces a user that was there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when the part is empty or longer than 255 bytes.
    pub fn user(&self, user: impl AsRef<str>) -> Result<Self> {
        let (tenant, user) = (self.tenant(), checked(user.as_ref())?);
        // No part is longer than 255 bytes.
        let split = u8::try_from(tenant.len()).unwrap_or(u8::MAX);
        Ok(Self { text: [tenant, user].concat().into(), split })
    }

    /// The first part.
    pub fn tenant(&self) -> &str {
        match self.split {
            0 => &self.text,
            split => &self.text[..usize::from(split)],
        }
    }

    /// The second part, if there is one.
    pub fn user_part(&self) -> Option<&str> {
        (self.split > 0).then(|| &self.text[usize::from(self.split)..])
    }
}

fn checked(part: &str) -> Result<&str> {
    if (1..=LONGEST_PART).contains(&part.len()) {
        return Ok(part);
    }
    let message = format!("each part of a key must be 1 to {LONGEST_PART} bytes long, not {}", part.len());
    Err(Error::new(ErrorKind::InvalidInput, message))
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.user_part() {
            None => write!(f, "{:?}", self.tenant()),
            Some(user) => write!(f, "{:?}/{user:?}", self.tenant()),
        }
    }
}

/// Both parts in quotes, for messages and logs, where a line break in a key must not begin a new line; the text itself is
/// [`TokenKey::tenant`] and [`TokenKey::user_part`].
impl fmt::Display for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_apart_however_they_are_written() {
        let key = |tenant: &str, user: &str| TokenKey::new(tenant).unwrap().user(user).unwrap();
        let keys = [
            TokenKey::new("ab").unwrap(),
            key("a", "b"),
            key("ab", "c"),
            key("a", "bc"),
            TokenKey::new("abc").unwrap(),
            TokenKey::new("a/b").unwrap(),
            key("a", "/b"),
            TokenKey::new("..").unwrap(),
            key("é", "e\u{301}"),
        ];
        for (i, left) in keys.iter().enumerate() {
            for (j, right) in keys.iter().enumerate() {
                assert_eq!(left == right, i == j, "{left} {right}");
            }
        }
        assert_eq!((key("é", "x").tenant(), key("é", "x").user_part()), ("é", Some("x")));
        assert_eq!(key("a", "b").user("c").unwrap(), key("a", "c"));
    }

    #[test]
    fn parts_are_1_to_255_bytes_long() {
        assert!(TokenKey::new("").is_err() && TokenKey::new("x".repeat(256)).is_err());
        let longest = TokenKey::new("x".repeat(255)).unwrap().user("y".repeat(255)).unwrap();
        assert_eq!((longest.tenant().len(), longest.user_part().unwrap().len()), (255, 255));
        assert!(longest.user("").is_err());
    }
}
