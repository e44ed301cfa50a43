//! The request pipeline: tracing, limits, and error context for each request.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use crate::clock::Clock;
use crate::error::{Delivery, Error, ErrorKind, Result};
use crate::protocol::http_request::{self, RequestKind};
use crate::registration::Registration;
use crate::trace::RequestSpan;
use crate::transport::retry::RetryTransport;
use crate::transport::{Limits, RetryPolicy};

/// The request pipeline over a transport, with what every request of the client needs.
pub(crate) struct Pipeline {
    pub(crate) registration: Arc<Registration>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) transport: RetryTransport,
}

impl Pipeline {
    /// Sends one API request without retries. Returns any response within the size limit unchanged.
    pub(crate) async fn send_api_request(&self, limits: Limits, request: Request<Bytes>) -> Result<Response<Bytes>> {
        self.send_in_span("api", RetryPolicy::Never, limits, request, Ok).await
    }

    /// Sends a request and converts its response with `read`.
    ///
    /// Every error names the operation. It has a tracking ID if a server received the request.
    pub(crate) async fn send<T>(
        &self,
        request_kind: RequestKind,
        repeat: RetryPolicy,
        limits: Limits,
        request: Request<Bytes>,
        read: impl Fn(&Response<Bytes>) -> Result<T> + Send,
    ) -> Result<T> {
        let outcome =
            self.send_in_span(request_kind.name(), repeat, limits, request, move |response| read(&response)).await;
        outcome.map_err(|error| error.with_operation_kind(request_kind.kind()))
    }

    /// Sends a request with a span and limits, and adds the tracking ID to errors.
    async fn send_in_span<T>(
        &self,
        endpoint: &'static str,
        repeat: RetryPolicy,
        limits: Limits,
        mut request: Request<Bytes>,
        read: impl FnOnce(Response<Bytes>) -> Result<T> + Send,
    ) -> Result<T> {
        // Converted to strings only for an error or a trace.
        let (uri, tracking_id) = (request.uri().clone(), http_request::sent_tracking_id(&request));
        request.extensions_mut().insert(limits);
        request.extensions_mut().insert(repeat);
        let span = RequestSpan::begin(endpoint, request.uri(), &*self.clock);
        span.attach_to(&mut request);
        let exchanged = span.instrument(self.transport.exchange(request)).await;
        let was_received =
            exchanged.as_ref().map_or_else(|error| error.delivery() == Some(Delivery::Unknown), |_| true);
        let tracking_id = || http_request::tracking_id_text(tracking_id.as_ref()?, &[]);
        let outcome = match exchanged {
            // A transport of the application may ignore the limit.
            Ok(response) if response.body().len() > limits.max_body => {
                let message = format!("response is longer than the limit of {} bytes", limits.max_body);
                Err(Error::new(ErrorKind::Transport, message).with_delivery(Delivery::Unknown))
            }
            Ok(response) => read(response),
            Err(error) => Err(error),
        };
        // The server's own ID is included only if it was checked not to echo a secret.
        let received = outcome.as_ref().err().and_then(Error::tracking_id);
        span.end(|| received.map(str::to_owned).or_else(tracking_id), &*self.clock);
        // With the port, and without user information.
        let position =
            || uri.authority().and_then(|authority| authority.as_str().rsplit('@').next()).unwrap_or_default();
        // Cisco support cannot find the ID of a request that no server received.
        outcome.map_err(|error| error.with_request_context(tracking_id().filter(|_| was_received), position()))
    }
}
