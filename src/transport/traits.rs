//! The trait [`Transport`], and the limits and retry policy of a request.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;

// `tls` configures TLS for reqwest; `proxy` reads the proxy settings of the environment; `failure`
// converts reqwest's errors; `retry` repeats requests that are safe to repeat.

/// A sender of HTTP requests.
///
/// # Contract
///
/// 1. **One exchange.** A call never follows redirects and never decompresses the body. It repeats
///    a request only if the server did not process it.
/// 2. **Responses are `Ok`.** This includes all error statuses. A failure before the response is
///    complete is an `Err` from [`Error::transport`](crate::Error::transport), with the
///    [`Delivery`](crate::Delivery) of the request.
/// 3. **Limits.** The request's extensions contain [`Limits`] for the response body and the
///    duration of the exchange.
/// 4. **No leaks.** Requests contain secrets. Their headers and bodies never appear in logs or
///    errors.
///
/// # Example
///
/// A transport that counts requests:
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use webex_oauth::transport::{ReqwestTransport, Transport};
///
/// #[derive(Debug)]
/// struct Counting(ReqwestTransport, AtomicUsize);
///
/// #[async_trait::async_trait]
/// impl Transport for Counting {
///     async fn exchange(
///         &self,
///         request: http::Request<bytes::Bytes>,
///     ) -> webex_oauth::Result<http::Response<bytes::Bytes>> {
///         self.1.fetch_add(1, Ordering::Relaxed);
///         self.0.exchange(request).await
///     }
/// }
/// ```
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends `request` and returns the complete response.
    ///
    /// The URI of the request is absolute.
    ///
    /// # Cancellation
    ///
    /// The server may process the request even if the future is dropped.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Transport`](crate::ErrorKind::Transport): the request could not be sent, or
    ///   no complete response was received within the limits.
    async fn exchange(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>>;
}

/// The limits of an exchange, found in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum length of the response body, in bytes. A longer body is an error.
    pub max_body: usize,
    /// The maximum time from the first attempt to connect to the last byte of the response.
    pub timeout: Duration,
}

impl Default for Limits {
    /// Returns limits of 1 MiB and 30 seconds.
    fn default() -> Self {
        Self { max_body: 1024 * 1024, timeout: Duration::from_secs(30) }
    }
}

impl Limits {
    /// Returns the smaller of each limit.
    pub(crate) fn min(self, other: Self) -> Self {
        Self { max_body: self.max_body.min(other.max_body), timeout: self.timeout.min(other.timeout) }
    }
}

/// The retry policy of a request, found in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryPolicy {
    /// Never retry.
    Never,
    /// Retry if the server did not process the request
    /// ([`Delivery::NotSent`](crate::Delivery::NotSent)). Used for code exchanges.
    IfNotSent,
    /// Also retry if the server deferred the request (429, 503). Used for refreshes if the service
    /// invalidates used refresh tokens.
    IfDeferred,
    /// Also retry after a gateway error (502, 504), and once after a lost response. Used for read
    /// requests, and for refreshes if the refresh token remains valid.
    IfLost,
}
