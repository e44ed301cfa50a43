//! A transport with which a test delays the responses of one address, and observes each of them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::{Semaphore, watch};
use webex_oauth::transport::{ReqwestTransport, Transport};

/// Clones share the barrier.
#[derive(Clone, Debug)]
pub(crate) struct BarrierTransport {
    transport: ReqwestTransport,
    path: &'static str,
    arrived: Arc<Semaphore>,
    is_open: watch::Sender<bool>,
}

impl BarrierTransport {
    /// Creates a barrier that delays nothing.
    pub(crate) fn open_at(path: &'static str) -> Self {
        let transport = ReqwestTransport::builder().build().unwrap();
        Self { transport, path, arrived: Arc::new(Semaphore::new(0)), is_open: watch::Sender::new(true) }
    }

    /// Delays the responses of this address until the barrier is opened.
    pub(crate) fn closed_at(path: &'static str) -> Self {
        let gate = Self::open_at(path);
        gate.is_open.send_replace(false);
        gate
    }

    pub(crate) fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Delays the following responses again.
    pub(crate) fn close(&self) {
        self.is_open.send_replace(false);
    }

    /// Waits until one more response is delayed by the barrier.
    pub(crate) async fn wait_for_response(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl Transport for BarrierTransport {
    async fn exchange(&self, request: Request<Bytes>) -> webex_oauth::Result<Response<Bytes>> {
        let is_watched = request.uri().path() == self.path;
        let response = self.transport.exchange(request).await;
        if is_watched {
            self.arrived.add_permits(1);
            self.is_open.subscribe().wait_for(|is_open| *is_open).await.unwrap();
        }
        response
    }
}
