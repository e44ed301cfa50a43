use std::error::Error as StdError;

use async_trait::async_trait;
use axum::http::{HeaderMap, request::Parts};
use tower_sessions::Session;
use webex_oauth::axum::AppSession;
use webex_oauth::store::TokenKey;
use webex_oauth::{Error, Result, Transience};

const KEY: &str = "webex_session";

#[derive(Debug)]
pub struct TowerSessions;

#[async_trait]
impl AppSession for TowerSessions {
    async fn key(&self, request: &Parts) -> Result<Option<TokenKey>> {
        let key = session(request)?.get::<String>(KEY).await.map_err(failed)?;
        key.map(|key| key.parse()).transpose()
    }

    async fn set_key(&self, request: &Parts, key: TokenKey) -> Result<HeaderMap> {
        let session = session(request)?;
        session.cycle_id().await.map_err(failed)?; // session fixation
        session.insert(KEY, key.to_string()).await.map_err(failed)?;
        Ok(HeaderMap::new())
    }

    async fn clear(&self, request: &Parts) -> Result<HeaderMap> {
        session(request)?.flush().await.map_err(failed)?;
        Ok(HeaderMap::new())
    }
}

fn session(request: &Parts) -> Result<&Session> {
    let session = request.extensions.get::<Session>();
    session.ok_or_else(|| Error::store("no `SessionManagerLayer`", Transience::Permanent))
}

fn failed(error: impl StdError + Send + Sync + 'static) -> Error {
    Error::store(error, Transience::Transient)
}
