//! Who may say who a user is: the identity brokers of Webex.

/// The `iss` of the commercial platform: one broker for each region
/// (help.webex.com, "BroadWorks" solution guide; the samples of developer.webex.com/docs/login-with-webex).
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

/// The `iss` of Webex for Government; its host is known from Cisco's own code, its path by analogy.
pub(crate) const GOVERNMENT: &[&str] = &["https://idbroker-f.webex.com/idb"];

/// Whether this build can verify what they say: it takes the feature, and a library for signatures.
pub(crate) const ARE_VERIFIED: bool =
    cfg!(all(feature = "oidc", any(feature = "rustls", feature = "rustls-ring", feature = "native-tls")));
