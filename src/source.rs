//! Sources of access tokens.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;
use crate::secret::AccessToken;

/// A source of access tokens: a [`Session`](crate::Session), a [`StaticToken`], or a type of your
/// own.
///
/// # Contract
///
/// - [`access_token`](Self::access_token) returns a token that is expected to be valid, or an error
///   that says who must act.
/// - [`invalidate`](Self::invalidate) reports that an API responded with 401 to a token. It returns
///   once there is another token, or none can be obtained for now. Afterwards,
///   [`access_token`](Self::access_token) may return the same token: the caller then treats the 401
///   as the response. An endpoint may respond with 401 for other reasons, so a source must not
///   withhold the token from other callers.
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
    /// Returns a token for the next request.
    ///
    /// # Errors
    ///
    /// An error of the source, for example [`ErrorKind::Refresh`](crate::ErrorKind::Refresh).
    async fn access_token(&self) -> Result<AccessToken>;

    /// Reports that an API responded with 401 to `token`.
    async fn invalidate(&self, token: &AccessToken);
}

#[async_trait]
impl<T: TokenSource + ?Sized> TokenSource for Arc<T> {
    async fn access_token(&self) -> Result<AccessToken> {
        T::access_token(self).await
    }

    async fn invalidate(&self, token: &AccessToken) {
        T::invalidate(self, token).await;
    }
}

/// A token that cannot be refreshed: a bot token or a personal access token.
///
/// A 401 is returned to the caller, and other requests still use the token.
#[derive(Clone, Debug)]
pub struct StaticToken(AccessToken);

impl StaticToken {
    /// Creates a source from a token that was copied from the developer portal.
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
