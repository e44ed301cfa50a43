//! What a server said when it refused.

use std::fmt;

use http::StatusCode;

/// What a server said when it refused: data, not a decision.
///
/// Everything that looks like a token, and every secret of the request, was cut out of the texts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerError {
    status: Option<StatusCode>,
    code: Option<String>,
    description: Option<String>,
    unrecognized: bool,
    names_client: bool,
    body: BodyKind,
    content_type: Option<String>,
}

/// What the body of a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum BodyKind {
    /// There is no response, or nobody looked.
    #[default]
    Unknown,
    JsonObject,
    Other,
}

impl ServerError {
    /// The HTTP status, unless the refusal came by a browser's redirect.
    pub fn status(&self) -> Option<u16> {
        self.status.map(|status| status.as_u16())
    }

    /// The OAuth error code (RFC 6749 sections 4.1.2.1 and 5.2), wherever in the answer it stood.
    ///
    /// Codes that no standard knows are kept as they came.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The server's explanation for developers: at most 300 characters, with secrets cut out.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Whether nothing in the answer said why; the refusal was then judged by its status alone.
    pub fn is_unrecognized(&self) -> bool {
        self.unrecognized
    }

    pub(crate) fn new(status: Option<StatusCode>, code: Option<String>, description: Option<String>) -> Self {
        Self { status, code, description, ..Self::default() }
    }

    pub(crate) fn with_body(mut self, is_json_object: bool, content_type: Option<String>) -> Self {
        self.body = if is_json_object { BodyKind::JsonObject } else { BodyKind::Other };
        self.content_type = content_type;
        self
    }

    pub(crate) fn naming_client(mut self) -> Self {
        self.names_client = true;
        self
    }

    /// Returns `true` if the body of the response was a JSON object: a word of the server and of nothing in between.
    pub(crate) fn is_json_object(&self) -> bool {
        self.body == BodyKind::JsonObject
    }

    /// Returns the media type of the response, cleaned: at most 60 characters.
    #[cfg_attr(not(test), allow(dead_code, reason = "the refresh engine reports it"))]
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// Returns `true` if a token endpoint rejected the client, not the grant: by `invalid_client`, or by a 401 without a JSON
    /// object that demands the client's credentials.
    pub(crate) fn names_client(&self) -> bool {
        self.names_client
    }

    /// Returns `true` if not the server but a proxy (407) or the network (511) sent the response.
    pub(crate) fn is_from_intermediary(&self) -> bool {
        self.status.is_some_and(is_intermediary)
    }

    pub(crate) fn unrecognized(mut self) -> Self {
        self.unrecognized = true;
        self
    }
}

/// Returns `true` if not the server but a proxy (407) or the network (511, RFC 6585 section 6) sends this status.
pub(crate) fn is_intermediary(status: StatusCode) -> bool {
    matches!(status, StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::NETWORK_AUTHENTICATION_REQUIRED)
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(status) = self.status {
            write!(f, "HTTP {}", status.as_u16())?;
            separator = ", ";
        }
        if self.body == BodyKind::Other {
            match &self.content_type {
                Some(content_type) => write!(f, "{separator}not JSON, content type {content_type}")?,
                None => write!(f, "{separator}not JSON, no content type")?,
            }
            separator = ", ";
        }
        if let Some(code) = &self.code {
            write!(f, "{separator}{code}")?;
            separator = ", ";
        }
        if let Some(description) = &self.description {
            write!(f, "{separator}\"{description}\"")?;
        }
        Ok(())
    }
}
