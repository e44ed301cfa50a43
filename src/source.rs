//! Where an access token comes from: a kept login, a bot's fixed token, or a type of your own.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::secret::AccessToken;

/// Something that gives an access token.
///
/// # Contract
///
/// - [`access_token`](Self::access_token) gives a token that is believed to be good, or an error that says who can help.
/// - [`reject`](Self::reject) says that an API answered 401 to a token. It compares before it discards: a token that was
///   replaced meanwhile is no news.
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

    /// The API refused this token with 401.
    async fn reject(&self, token: &AccessToken);
}

/// A shared source is a source.
#[async_trait]
impl<T: TokenSource + ?Sized> TokenSource for Arc<T> {
    async fn access_token(&self) -> Result<AccessToken> {
        T::access_token(self).await
    }

    async fn reject(&self, token: &AccessToken) {
        T::reject(self, token).await;
    }
}

/// A token that is always the same: a bot's, or a personal access token.
///
/// Once the API has refused it, it is not handed out again: a new one must come from where this one came from.
#[derive(Debug)]
pub struct StaticToken {
    token: AccessToken,
    is_rejected: std::sync::atomic::AtomicBool,
}

impl StaticToken {
    /// The token as the developer portal shows it.
    pub fn new(token: AccessToken) -> Self {
        Self { token, is_rejected: false.into() }
    }
}

#[async_trait]
impl TokenSource for StaticToken {
    async fn access_token(&self) -> Result<AccessToken> {
        if self.is_rejected.load(std::sync::atomic::Ordering::Relaxed) {
            let message = "webex refused this token: get a new one where this one came from";
            return Err(Error::new(ErrorKind::Session, message).with_remedy(Remedy::Registration));
        }
        Ok(self.token.clone())
    }

    async fn reject(&self, token: &AccessToken) {
        if *token == self.token {
            self.is_rejected.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
}
