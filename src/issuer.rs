//! Issuers of ID tokens: the Webex identity brokers.

/// The issuers of the commercial platform, one per region (help.webex.com, "BroadWorks" solution
/// guide; the samples of developer.webex.com/docs/login-with-webex).
pub(crate) const COMMERCIAL: &[&str] = &[
    "https://idbroker.webex.com/idb",
    "https://idbroker-b-us.webex.com/idb",
    "https://idbroker-eu.webex.com/idb",
    "https://idbroker-ca.webex.com/idb",
    "https://idbroker-sg.webex.com/idb",
    "https://idbroker-in.webex.com/idb",
    "https://idbroker-ae.webex.com/idb",
    "https://idbroker-au.webex.com/idb",
];

/// The issuer of Webex for Government. Its host is taken from Cisco's code. Its path is assumed by
/// analogy.
pub(crate) const GOVERNMENT: &[&str] = &["https://idbroker-f.webex.com/idb"];

/// `true` if this build can verify ID tokens: it needs the feature `oidc` and a signature library.
pub(crate) const ARE_VERIFIED: bool =
    cfg!(all(feature = "oidc", any(feature = "rustls", feature = "rustls-ring", feature = "native-tls")));
