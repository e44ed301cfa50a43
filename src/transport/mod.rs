//! HTTP transports, based on the types of the `http` crate.
//!
//! - [`Transport`] is the trait. Implement it to record, route, or simulate requests.
//! - [`ReqwestTransport`] is the default. [`TlsBackend`] selects its TLS library.

// `traits` contains the trait, the limits, and the retry policy. `retry` repeats requests, and
// parses `Retry-After`. `failure` converts the errors of reqwest, `proxy` checks the proxy settings
// of the environment, `tls` configures TLS, and `reqwest` is the default transport.

pub(crate) mod traits;
pub(crate) mod retry;
pub(crate) mod failure;
pub(crate) mod proxy;
pub(crate) mod tls;
pub(crate) mod reqwest;

pub use crate::transport::reqwest::{ReqwestTransport, ReqwestTransportBuilder};
pub use crate::transport::tls::TlsBackend;
pub use crate::transport::traits::{Limits, RetryPolicy, Transport};
