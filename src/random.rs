//! Random values from the operating system's generator. No other module generates any.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::error::{Error, ErrorKind, Result};

/// Fills `bytes` with random data from the operating system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<()> {
    SysRng.try_fill_bytes(bytes).map_err(|source| {
        Error::new(ErrorKind::RandomSource, "operating system's random number generator failed; retry later")
            .with_source(source)
    })
}

/// Returns a random number from 0 to 1 for jitter, so that waiting tasks do not retry
/// simultaneously.
///
/// Returns 1, the longest wait, if the generator fails.
pub(crate) fn jitter() -> f64 {
    let mut bytes = [0; 4];
    match fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

/// Returns 256 random bits as 43 base64url characters, all of them unreserved in URLs (RFC 3986,
/// section 2.3).
pub(crate) fn url_safe_string() -> Result<String> {
    url_safe_strings().map(|[token]| token)
}

/// Returns several tokens with a single call to the operating system.
pub(crate) fn url_safe_strings<const N: usize>() -> Result<[String; N]> {
    let mut bytes = [[0; 32]; N];
    fill(bytes.as_flattened_mut())?;
    Ok(bytes.map(|bytes| URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_43_unreserved_characters_and_never_repeat() {
        let tokens: std::collections::HashSet<_> = (0..1000).map(|_| url_safe_string().unwrap()).collect();
        assert_eq!(tokens.len(), 1000);
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        assert!(tokens.iter().all(|token| token.len() == 43 && token.chars().all(unreserved)));
    }
}
