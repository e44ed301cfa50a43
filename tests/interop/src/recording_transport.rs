//! A transport that records request paths and can edit token responses.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use webex_oauth::transport::{ReqwestTransport, Transport};

type ResponseEdit = Box<dyn Fn(&mut Value) + Send>;

/// A wrapper of the crate's transport that records requests. Clones share the recording.
#[derive(Clone)]
pub struct RecordingTransport {
    inner: ReqwestTransport,
    state: Arc<Mutex<RecordingState>>,
}

#[derive(Default)]
struct RecordingState {
    paths: Vec<String>,
    edit: Option<ResponseEdit>,
}

impl Default for RecordingTransport {
    fn default() -> Self {
        Self { inner: ReqwestTransport::builder().build().unwrap(), state: Arc::default() }
    }
}

impl RecordingTransport {
    /// Creates a transport that does not edit responses.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the edit for all later responses of the token endpoint.
    pub fn edit_token_response(&self, edit: impl Fn(&mut Value) + Send + 'static) {
        self.state.lock().unwrap().edit = Some(Box::new(edit));
    }

    /// Returns the paths of all requests since the last call.
    pub fn take_paths(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().paths)
    }
}

#[async_trait]
impl Transport for RecordingTransport {
    async fn exchange(&self, request: Request<Bytes>) -> webex_oauth::Result<Response<Bytes>> {
        let path = request.uri().path().to_owned();
        self.state.lock().unwrap().paths.push(path.clone());
        let response = self.inner.exchange(request).await?;
        let state = self.state.lock().unwrap();
        let Some(edit) = state.edit.as_ref().filter(|_| path == "/token") else { return Ok(response) };
        Ok(response.map(|body| {
            let mut json = serde_json::from_slice(&body).unwrap();
            edit(&mut json);
            json.to_string().into()
        }))
    }
}

impl fmt::Debug for RecordingTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingTransport").finish_non_exhaustive()
    }
}
