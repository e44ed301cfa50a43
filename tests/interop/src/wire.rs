//! A transport that records requests and responses, and can change the responses.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use webex_oauth::transport::{ReqwestTransport, Transport};

type ResponseEdit = Box<dyn Fn(&mut Value) + Send>;

/// The crate's own transport, tapped. Clones are the same wire.
#[derive(Clone)]
pub struct RecordingTransport {
    transport: ReqwestTransport,
    tap: Arc<Mutex<RecordingState>>,
}

#[derive(Default)]
struct RecordingState {
    paths: Vec<String>,
    change: Option<ResponseEdit>,
}

impl Default for RecordingTransport {
    fn default() -> Self {
        Self { transport: ReqwestTransport::builder().build().unwrap(), tap: Arc::default() }
    }
}

impl RecordingTransport {
    /// One on which nothing is changed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes what the token endpoint says from now on.
    pub fn edit_token_response(&self, change: impl Fn(&mut Value) + Send + 'static) {
        self.tap.lock().unwrap().change = Some(Box::new(change));
    }

    /// Which paths were asked for since this was last called.
    pub fn take_paths(&self) -> Vec<String> {
        std::mem::take(&mut self.tap.lock().unwrap().paths)
    }
}

#[async_trait]
impl Transport for RecordingTransport {
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

impl fmt::Debug for RecordingTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}
