//! Keys of stored sessions.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// The longest part of a key, in bytes.
const MAX_PART_LEN: usize = 255;

/// The application's name for a stored session: a root, or a root and a child.
///
/// Use one part for a single account (`TokenKey::new("jane@example.com")`), or two for a
/// multi-tenant application: the customer as root and the user as child.
/// [`TokenManager::remove_all`] removes all sessions of a root.
///
/// Each part is 1 to 255 bytes of UTF-8 and is compared byte by byte. Keys are not secret: they
/// appear in errors and logs, formatted with `Debug`.
///
/// `Display` and [`FromStr`] convert a key to a string and back: two hexadecimal digits with the
/// length of the root in bytes (`00` without a child), the root, and the child. Stores can use this
/// string as primary key.
///
/// [`TokenManager::remove_all`]: crate::TokenManager::remove_all
///
/// # Example
///
/// ```
/// use webex_oauth::store::TokenKey;
///
/// let customer = TokenKey::new("cust10001")?;
/// let jane = customer.child("jane@example.com")?;
/// assert_eq!((jane.root(), jane.child_name()), ("cust10001", Some("jane@example.com")));
/// assert_eq!(jane.to_string(), "09cust10001jane@example.com");
/// assert_eq!(jane.to_string().parse::<TokenKey>()?, jane);
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenKey {
    /// Both parts, without a separator that a part could contain.
    parts: Box<str>,
    /// The length of the root; 0 if there is no child.
    split: u8,
}

impl TokenKey {
    /// Creates a key with one part.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: `root` is empty or longer than 255 bytes.
    pub fn new(root: impl AsRef<str>) -> Result<Self> {
        let root = check_part(root.as_ref())?;
        Ok(Self { parts: root.into(), split: 0 })
    }

    /// Creates a key with the same root and this child.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: `name` is empty or longer than 255 bytes.
    pub fn child(&self, name: impl AsRef<str>) -> Result<Self> {
        let (root, name) = (self.root(), check_part(name.as_ref())?);
        // No part is longer than 255 bytes.
        let split = u8::try_from(root.len()).unwrap_or(u8::MAX);
        Ok(Self { parts: [root, name].concat().into(), split })
    }

    /// Returns the first part.
    pub fn root(&self) -> &str {
        match self.split {
            0 => &self.parts,
            split => &self.parts[..usize::from(split)],
        }
    }

    /// Returns the second part, if there is one.
    pub fn child_name(&self) -> Option<&str> {
        (self.split > 0).then(|| &self.parts[usize::from(self.split)..])
    }
}

fn check_part(part: &str) -> Result<&str> {
    if (1..=MAX_PART_LEN).contains(&part.len()) {
        return Ok(part);
    }
    let message = format!("invalid session key: each part must be 1 to {MAX_PART_LEN} bytes long, not {}", part.len());
    Err(Error::new(ErrorKind::InvalidInput, message))
}

impl fmt::Display for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{}", self.split, self.parts)
    }
}

impl FromStr for TokenKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::new(ErrorKind::InvalidInput, "invalid session key: not the string form of a key");
        let (digits, parts) = text.split_at_checked(2).ok_or_else(invalid)?;
        let is_lower_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let split = u8::from_str_radix(digits, 16).ok().filter(|_| is_lower_hex).ok_or_else(invalid)?;
        match split {
            0 => Self::new(parts),
            split => {
                let (root, name) = parts.split_at_checked(split.into()).ok_or_else(invalid)?;
                Self::new(root)?.child(name)
            }
        }
    }
}

/// The parts in quotes, with control characters escaped, for messages and logs.
impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.child_name() {
            None => write!(f, "{:?}", self.root()),
            Some(name) => write!(f, "{:?}/{name:?}", self.root()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(root: &str, child: &str) -> TokenKey {
        TokenKey::new(root).unwrap().child(child).unwrap()
    }

    #[test]
    fn keys_with_equal_concatenations_differ() {
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
                assert_eq!(left == right, i == j, "{left:?} {right:?}");
                assert_eq!(left.to_string() == right.to_string(), i == j, "{left} {right}");
            }
        }
        assert_eq!((key("é", "x").root(), key("é", "x").child_name()), ("é", Some("x")));
        assert_eq!(key("a", "b").child("c").unwrap(), key("a", "c"));
    }

    #[test]
    fn key_parts_are_limited_to_1_to_255_bytes() {
        assert!(TokenKey::new("").is_err() && TokenKey::new("x".repeat(256)).is_err());
        let longest = key(&"x".repeat(255), &"y".repeat(255));
        assert_eq!((longest.root().len(), longest.child_name().unwrap().len()), (255, 255));
        assert!(longest.child("").is_err());
    }

    #[test]
    fn string_form_of_key_round_trips_and_invalid_is_rejected() {
        for (key, text) in [
            (TokenKey::new("jane").unwrap(), "00jane".to_owned()),
            (key("cust1", "jane"), "05cust1jane".to_owned()),
            (key("é\n", "00x"), "03é\n00x".to_owned()),
            (key(&"x".repeat(255), "y"), format!("ff{}y", "x".repeat(255))),
        ] {
            assert_eq!(key.to_string(), text);
            assert_eq!(text.parse::<TokenKey>().unwrap(), key);
        }
        for bad in ["", "0", "00", "05cust", "05cust1", "0Acust1jane1234", "+5cust1jane", "01é", "é1a"] {
            assert_eq!(bad.parse::<TokenKey>().unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
        }
    }
}
