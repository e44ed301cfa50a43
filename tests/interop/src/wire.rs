//! The wire between client and server, with somebody on it who listens, and who can change what is said.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use webex_oauth::transport::{ReqwestTransport, Transport};

type Change = Box<dyn Fn(&mut Value) + Send>;

/// The crate's own transport, tapped. Clones are the same wire.
#[derive(Clone)]
pub struct Wire {
    transport: ReqwestTransport,
    tap: Arc<Mutex<Tap>>,
}

#[derive(Default)]
struct Tap {
    paths: Vec<String>,
    change: Option<Change>,
}

impl Default for Wire {
    fn default() -> Self {
        Self { transport: ReqwestTransport::builder().build().unwrap(), tap: Arc::default() }
    }
}

impl Wire {
    /// One on which nothing is changed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes what the token endpoint says from now on.
    pub fn change(&self, change: impl Fn(&mut Value) + Send + 'static) {
        self.tap.lock().unwrap().change = Some(Box::new(change));
    }

    /// Which paths were asked for since this was last called.
    pub fn paths(&self) -> Vec<String> {
        std::mem::take(&mut self.tap.lock().unwrap().paths)
    }
}

#[async_trait]
impl Transport for Wire {
    async fn exchange(&self, request: Request<Bytes>) -> webex_oauth::Result<Response<Bytes>> {
        let path = request.uri().path().to_owned();
        self.tap.lock().unwrap().paths.push(path.clone());
        let answer = self.transport.exchange(request).await?;
        let tap = self.tap.lock().unwrap();
        let Some(change) = tap.change.as_ref().filter(|_| path == "/token") else { return Ok(answer) };
        Ok(answer.map(|body| {
            let mut said = serde_json::from_slice(&body).unwrap();
            change(&mut said);
            said.to_string().into()
        }))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}
