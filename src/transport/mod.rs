//! How requests travel: one trait, one exchange at a time, in the types of the `http` crate.
//!
//! - [`Transport`] is the seam; put your own behind it to record, to route or to test.
//! - [`ReqwestTransport`] is the one that clients use unless told otherwise.
//!   [`TlsBackend`] says with which library it speaks TLS.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;

// `tls` readies reqwest for https; `proxy` reads the environment's proxy settings; `failure` converts reqwest's errors;
// `retry` repeats what is safe to repeat.
mod tls;
mod proxy;
mod failure;
mod reqwest;
mod retry;

#[cfg(feature = "middleware")]
pub(crate) use self::reqwest::build_client;
pub use self::reqwest::{ReqwestTransport, ReqwestTransportBuilder};
pub(crate) use self::retry::Retry;
pub use self::tls::TlsBackend;

/// Carries one HTTP request to a server and its answer back.
///
/// # Contract
///
/// - One call is one exchange: no redirect is followed, nothing is decompressed, and nothing is repeated except a request
///   that the server provably did not process.
/// - Every answer is `Ok`, whatever its status. A fault on the way is an `Err` from
///   [`Error::transport`](crate::Error::transport), which says whether the request may have reached the server.
/// - [`Limits`], in the request's extensions, bound the answer's body and the time of the whole exchange.
/// - Requests hold secrets: nothing of their headers or bodies is logged or put into an error.
///
/// # Example
///
/// A transport that counts:
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
///     async fn exchange(&self, request: http::Request<bytes::Bytes>) -> webex_oauth::Result<http::Response<bytes::Bytes>> {
///         self.1.fetch_add(1, Ordering::Relaxed);
///         self.0.exchange(request).await
///     }
/// }
/// ```
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends `request`, which has an absolute URI, and reads the whole answer.
    async fn exchange(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>>;
}

/// How much of an answer is read, and for how long; in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes of a body that are read; a longer one is an error.
    pub body: usize,
    /// The time from the first attempt to connect to the last byte of the answer.
    pub time: Duration,
}

impl Default for Limits {
    /// 1 MiB and 30 seconds.
    fn default() -> Self {
        Self { body: 1024 * 1024, time: Duration::from_secs(30) }
    }
}

impl Limits {
    /// Returns the smaller of each limit.
    pub(crate) fn min(self, other: Self) -> Self {
        Self { body: self.body.min(other.body), time: self.time.min(other.time) }
    }
}

/// Whether a request may be sent again; in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repeat {
    /// Sent once, whatever happens.
    Never,
    /// Repeated only when the server provably did not process it ([`Delivery::NotSent`](crate::Delivery::NotSent)): a code
    /// exchange.
    WhenNotSent,
    /// Repeated when it never reached the server or the server put it off (429, 503): a refresh where rotation is strict.
    WhenRefused,
    /// Repeated also when a gateway gave up (502, 504), and once after an answer that was lost: reading, and a refresh
    /// where the refresh token stays the same.
    WhenLost,
}
