//! Where an access token comes from: a kept login, a bot's fixed token, or a type of your own.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;
use crate::secret::AccessToken;

/// Something that gives an access token.
///
/// # Contract
///
/// - [`access_token`](Self::access_token) gives a token that is believed to be good, or an error that says who can help.
/// - [`invalidate`](Self::invalidate) reports that an API responded with 401 to a token, and waits until there is another token or none is
///   to be had for now. After that, [`access_token`](Self::access_token) may return the same token again: the 401 is then for the
///   caller. An endpoint may respond with 401 for a reason of its own, so a source must not take the token from other callers.
///
/// # Example
///
/// ```
/// use webex_oauth::source::{StaticToken, TokenSource};
/// use webex_oauth::AccessToken;
///
/// async fn header(source: &dyn TokenSource) -> webex_oauth::Result<String> {
///     Ok(format!("Bearer {}", source.access_token().await?.expose()))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// let bot = StaticToken::new(AccessToken::new("a-bots-token")?);
/// assert_eq!(header(&bot).await?, "Bearer a-bots-token");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait TokenSource: fmt::Debug + Send + Sync + 'static {
    /// A token for the next request.
    async fn access_token(&self) -> Result<AccessToken>;

    /// Reports that the API rejected this token with 401.
    async fn invalidate(&self, token: &AccessToken);
}

/// A shared source is a source.
#[async_trait]
impl<T: TokenSource + ?Sized> TokenSource for Arc<T> {
    async fn access_token(&self) -> Result<AccessToken> {
        T::access_token(self).await
    }

    async fn invalidate(&self, token: &AccessToken) {
        T::invalidate(self, token).await;
    }
}

/// A token that is always the same: a bot's, or a personal access token.
///
/// There is no replacement for it, so a 401 changes nothing: it is handed back to the caller, and other endpoints still get the
/// token.
#[derive(Clone, Debug)]
pub struct StaticToken(AccessToken);

impl StaticToken {
    /// The token as the developer portal shows it.
    pub fn new(token: AccessToken) -> Self {
        Self(token)
    }
}

#[async_trait]
impl TokenSource for StaticToken {
    async fn access_token(&self) -> Result<AccessToken> {
        Ok(self.0.clone())
    }

    async fn invalidate(&self, _token: &AccessToken) {}
}
