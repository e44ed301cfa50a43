//! One request to the server, and its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use crate::clock::Clock;
use crate::error::{Delivery, Error, ErrorKind, Result};
use crate::message;
use crate::refusal::Asked;
use crate::trace::RequestSpan;
use crate::transport::{Limits, Repeat, Retry};

/// The way to the server.
pub(super) struct Line {
    transport: Retry,
    clock: Arc<dyn Clock>,
}

impl Line {
    pub(super) fn new(transport: Retry, clock: Arc<dyn Clock>) -> Self {
        Self { transport, clock }
    }

    /// One call of the API, sent once. Any answer that is not too long is handed back as it is.
    pub(super) async fn call(&self, limits: Limits, request: Request<Bytes>) -> Result<Response<Bytes>> {
        self.carry("api", Repeat::Never, limits, request, Ok).await
    }

    /// One request, its answer, and what `read` makes of it. Every error says what was asked, and has a tracking id if a server
    /// received the request.
    pub(super) async fn send<T>(
        &self,
        asked: Asked,
        repeat: Repeat,
        limits: Limits,
        request: Request<Bytes>,
        read: impl Fn(&Response<Bytes>) -> Result<T> + Send,
    ) -> Result<T> {
        let outcome = self.carry(asked.name(), repeat, limits, request, move |answer| read(&answer)).await;
        outcome.map_err(|error| error.during(asked.kind()))
    }

    /// What all requests have in common: a span, the limits, and a tracking id in errors.
    async fn carry<T>(
        &self,
        endpoint: &'static str,
        repeat: Repeat,
        limits: Limits,
        mut request: Request<Bytes>,
        read: impl FnOnce(Response<Bytes>) -> Result<T> + Send,
    ) -> Result<T> {
        // Read as texts only when something is told of this request.
        let (uri, tracking_id) = (request.uri().clone(), message::sent_tracking_id(&request));
        request.extensions_mut().insert(limits);
        request.extensions_mut().insert(repeat);
        let span = RequestSpan::begin(endpoint, request.uri(), &*self.clock);
        span.travel_with(&mut request);
        let exchanged = span.around(self.transport.exchange(request)).await;
        let was_received =
            exchanged.as_ref().map_or_else(|error| error.delivery() == Some(Delivery::Unknown), |_| true);
        let tracking_id = || message::tracking_id_text(tracking_id.as_ref()?, &[]);
        let outcome = match exchanged {
            // A transport of the application's own may have forgotten the limit.
            Ok(answer) if answer.body().len() > limits.body => {
                let message = format!("the server's answer is longer than the limit of {} bytes", limits.body);
                Err(Error::new(ErrorKind::Transport, message).with_delivery(Delivery::Unknown))
            }
            Ok(answer) => read(answer),
            Err(error) => Err(error),
        };
        // A server's own id is shown only where it was read as one that echoes no secret.
        let received = outcome.as_ref().err().and_then(Error::tracking_id);
        span.end(|| received.map(str::to_owned).or_else(tracking_id), &*self.clock);
        // With its port, without what may stand before the host.
        let place = || uri.authority().and_then(|authority| authority.as_str().rsplit('@').next()).unwrap_or_default();
        // Cisco's support cannot find the id of a request that no server received.
        outcome.map_err(|error| error.of_request(tracking_id().filter(|_| was_received), place()))
    }
}
