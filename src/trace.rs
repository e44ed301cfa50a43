//! Spans and events for the feature `tracing`. Without the feature, this module compiles to
//! nothing.
//!
//! - [`event`] records a decision: `event!(DEBUG, key = ?key, "refresh started")`. Its values are
//!   evaluated only if a subscriber is interested.
//! - [`RequestSpan`] is the span of one request to the server, including its retries.
//! - [`causes`] converts an error into a value that includes its sources.

use std::error::Error;

#[cfg(feature = "tracing")]
macro_rules! event {
    ($level:ident, $($what:tt)+) => {
        ::tracing::event!(target: "webex_oauth", ::tracing::Level::$level, $($what)+)
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! event {
    ($level:ident $(, $field:ident = $(%)? $(?)? $value:expr)* $(, $message:literal)?) => {{
        // Never called: prevents warnings about values that only events use.
        let _ = || { $(let _ = &$value;)* };
    }};
}

#[cfg(not(feature = "tracing"))]
pub(crate) use self::disabled::RequestSpan;
#[cfg(feature = "tracing")]
pub(crate) use self::enabled::RequestSpan;
pub(crate) use event;

pub(crate) fn as_dyn_error<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    error
}

#[cfg(feature = "tracing")]
mod enabled {
    use std::future::Future;
    use std::time::Duration;

    use http::{Request, Response, Uri};
    use tracing::field::Empty;
    use tracing::{Instrument as _, Span};

    use crate::clock::Clock;

    /// The span of a request and its start time.
    #[derive(Clone)]
    pub(crate) struct RequestSpan {
        span: Span,
        started_at: Duration,
    }

    impl RequestSpan {
        pub(crate) fn begin(endpoint: &'static str, uri: &Uri, clock: &dyn Clock) -> Self {
            let span = tracing::debug_span!(
                target: "webex_oauth",
                "webex_oauth::request",
                endpoint,
                // The query is omitted: it may contain secrets.
                host = uri.host(),
                path = uri.path(),
                attempt = Empty,
                status = Empty,
                tracking_id = Empty,
                elapsed_ms = Empty,
            );
            let started = if span.is_disabled() { Duration::ZERO } else { clock.elapsed() };
            Self { span, started_at: started }
        }

        /// Attaches the span to a request for the layers that send it.
        pub(crate) fn attach_to<B>(&self, request: &mut Request<B>) {
            request.extensions_mut().insert(self.clone());
        }

        pub(crate) fn take_from<B>(request: &mut Request<B>) -> Self {
            let none = || Self { span: Span::none(), started_at: Duration::ZERO };
            request.extensions_mut().remove().unwrap_or_else(none)
        }

        pub(crate) fn instrument<F: Future>(&self, exchange: F) -> impl Future<Output = F::Output> + use<F> {
            exchange.instrument(self.span.clone())
        }

        /// Records the number of attempts and the status of the last response.
        pub(crate) fn record_attempts<B>(&self, attempt: u32, response: Option<&Response<B>>) {
            self.span.record("attempt", attempt);
            self.span.record("status", response.map(|response| response.status().as_u16()));
        }

        pub(crate) fn end(&self, tracking_id: impl FnOnce() -> Option<String>, clock: &dyn Clock) {
            if self.span.is_disabled() {
                return;
            }
            let elapsed = clock.elapsed().saturating_sub(self.started_at);
            self.span.record("tracking_id", tracking_id());
            self.span.record("elapsed_ms", u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
            self.span.in_scope(|| event!(DEBUG, "request finished"));
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod disabled {
    use std::future::Future;

    use http::{Request, Response, Uri};

    use crate::clock::Clock;

    pub(crate) struct RequestSpan;

    impl RequestSpan {
        pub(crate) fn begin(_: &'static str, _: &Uri, _: &dyn Clock) -> Self {
            Self
        }

        pub(crate) fn attach_to<B>(&self, _: &mut Request<B>) {}

        pub(crate) fn take_from<B>(_: &mut Request<B>) -> Self {
            Self
        }

        pub(crate) fn instrument<F: Future>(&self, exchange: F) -> F {
            exchange
        }

        pub(crate) fn record_attempts<B>(&self, _: u32, _: Option<&Response<B>>) {}

        pub(crate) fn end(&self, _: impl FnOnce() -> Option<String>, _: &dyn Clock) {}
    }
}
