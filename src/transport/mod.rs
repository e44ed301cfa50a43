//! HTTP transports, based on the types of the `http` crate.
//!
//! - [`Transport`] is the trait. Implement it to record, route, or simulate requests.
//! - [`ReqwestTransport`] is the default. [`TlsBackend`] selects its TLS library.

pub(crate) mod traits;
pub(crate) mod retry;
pub(crate) mod failure;
pub(crate) mod proxy;
pub(crate) mod tls;
pub(crate) mod reqwest;

pub use crate::transport::reqwest::{ReqwestTransport, ReqwestTransportBuilder};
pub use crate::transport::tls::TlsBackend;
pub use crate::transport::traits::{Limits, RetryPolicy, Transport};
