//! Faults in responses and connections, and their names.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use serde_json::Value;

use crate::testing::endpoint::MockEndpoint;
use crate::testing::faults::named::{
    CallbackFault, DevicePollFault, DeviceStartFault, DiscoveryFault, JwksFault, UserInfoFault,
};
use crate::testing::faults::response_override::{
    ConnectionFault, Content, JsonChange, JsonEdit, ResponseDelivery, ResponseOverride, RetryAfter,
};
use crate::testing::faults::token_response::{IdTokenFault, TokensFault};
use crate::testing::faults::webex_error::{ErrorFormat, WebexError};

/// A fault in a response of the mock or in its connection.
///
/// [`MockWebex::on`](crate::testing::MockWebex::on) selects the endpoint and the number of
/// responses. Named faults, such as [`IdTokenFault`], convert to this type.
///
/// | fault | request | response |
/// |---|---|---|
/// | [`none`](Self::none) | processed | the mock's own, unchanged or with another status, header, content type, or body |
/// | [`status`](Self::status), [`error`](Self::error), [`error_as`](Self::error_as), [`captive_portal`](Self::captive_portal), [`redirect`](Self::redirect) | not processed, unless [`after_processing`](Self::after_processing) | the specified one |
/// | [`remove_member`](Self::remove_member), [`duplicate_member`](Self::duplicate_member), [`set_member`](Self::set_member), [`edit`](Self::edit) | processed | the mock's own, changed |
/// | [`closed`](Self::closed), [`hanging`](Self::hanging) | not processed, unless [`after_processing`](Self::after_processing) | none; the connection is closed or stays open |
/// | [`lost_response`](Self::lost_response) | processed | none; the connection is closed |
/// | [`truncated`](Self::truncated), [`reset`](Self::reset), [`stalled`](Self::stalled), [`dripping`](Self::dripping) | processed | a part of the mock's own, or all of it slowly; these require [`MockWebexBuilder::relay`](crate::testing::MockWebexBuilder::relay) |
///
/// # Example
///
/// The server processes the request, but the connection is closed before the response arrives.
/// Webex's refresh tokens do not rotate, so this crate retries the refresh:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// use webex_oauth::Callback;
/// use webex_oauth::testing::{MockEndpoint, Fault, MockWebex};
///
/// let mock = MockWebex::start().await;
/// let webex = mock.client();
/// let (url, pending) = webex.authorize().begin()?;
/// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
///
/// mock.on(MockEndpoint::Refresh).respond_with(Fault::lost_response());
/// webex.refresh(login.tokens()).await?;
/// assert_eq!(mock.refreshes_for("jane@example.com"), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    /// `true` if the response is based on the mock's own, and not on an empty one.
    pub(crate) keeps_mock_response: bool,
    pub(crate) response_override: ResponseOverride,
    /// `true` if the request is processed by the rules.
    pub(crate) processes_request: bool,
    pub(crate) delay: Option<Duration>,
    pub(crate) delivery: ResponseDelivery,
    /// A fault that the rules of the mock apply, in place of everything above.
    pub(crate) named: Option<NamedFault>,
}

/// Constructors.
impl Fault {
    /// Creates a fault that changes nothing.
    ///
    /// Use it for initial successful responses in a script, or as the basis of a changed response.
    /// For example, `Fault::none().content_type("text/html")` sends valid tokens as HTML.
    pub fn none() -> Self {
        Self {
            keeps_mock_response: true,
            response_override: ResponseOverride::default(),
            processes_request: true,
            delay: None,
            delivery: ResponseDelivery::Complete,
            named: None,
        }
    }

    /// Creates an empty response with this status, 200 to 599. Add a body with
    /// [`html`](Self::html), [`json`](Self::json), or [`body`](Self::body).
    ///
    /// # Panics
    ///
    /// Panics if the status is out of range.
    #[track_caller]
    pub fn status(status: u16) -> Self {
        Self { keeps_mock_response: false, processes_request: false, ..Self::none() }.with_status(status)
    }

    /// Creates a Webex error in the format of the REST API.
    pub fn error(error: WebexError) -> Self {
        Self::error_as(ErrorFormat::Documented, error)
    }

    /// Creates a Webex error in the given format.
    pub fn error_as(shape: ErrorFormat, error: WebexError) -> Self {
        Self::status(error.status()).with_content(Content::Error(shape, error))
    }

    /// Creates the sign-in page of a captive portal, with status 200.
    pub fn captive_portal() -> Self {
        Self::status(200).with_content(Content::CaptivePortal)
    }

    /// Creates a redirect with this status to another origin, whose response contains tokens of
    /// another user.
    ///
    /// [`MockWebex::followed_redirects`](crate::testing::MockWebex::followed_redirects) counts the
    /// requests that follow it. This crate never does.
    ///
    /// # Panics
    ///
    /// Panics if the status is not 301, 302, 303, 307, or 308.
    #[track_caller]
    pub fn redirect(status: u16) -> Self {
        assert!(
            matches!(status, 301 | 302 | 303 | 307 | 308),
            "invalid redirect status {status}: use 301, 302, 303, 307, or 308"
        );
        Self::status(status).with_override(|overrides| overrides.redirects = true)
    }

    /// Creates a fault that removes a member from the JSON of the mock's own response, for example
    /// `access_token`.
    pub fn remove_member(member: impl Into<String>) -> Self {
        Self::from_change(JsonChange::RemoveMember(member.into()))
    }

    /// Creates a fault that duplicates a member in the JSON of the mock's own response.
    pub fn duplicate_member(member: impl Into<String>) -> Self {
        Self::from_change(JsonChange::DuplicateMember(member.into()))
    }

    /// Creates a fault that adds or replaces a member in the JSON of the mock's own response.
    ///
    /// `json` is sent unchanged, for example `null`, or `"1209599"` with quotation marks.
    pub fn set_member(member: impl Into<String>, json: impl Into<String>) -> Self {
        Self::from_change(JsonChange::SetMember(member.into(), json.into()))
    }

    /// Creates a fault that edits the JSON body of the mock's own response.
    ///
    /// Other bodies stay unchanged. Use this for any fault without a name.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use std::time::Duration;
    ///
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::{Fault, MockEndpoint, MockWebex};
    ///
    /// let mock = MockWebex::start().await;
    /// let webex = mock.client();
    /// let short = Fault::edit(|json| json["expires_in"] = 1.into());
    /// mock.on(MockEndpoint::Token).respond_with(short);
    ///
    /// let (url, pending) = webex.authorize().begin()?;
    /// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    /// assert!(login.tokens().expires_within(Duration::from_secs(1), webex.now()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn edit(edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self::from_change(JsonChange::Edit(JsonEdit(Arc::new(edit))))
    }

    /// Creates a fault that closes the connection without processing the request.
    pub fn closed() -> Self {
        Self { processes_request: false, delivery: ResponseDelivery::Lost, ..Self::none() }
    }

    /// Creates a fault that processes the request but closes the connection before the response
    /// arrives.
    pub fn lost_response() -> Self {
        Self::closed().after_processing()
    }

    /// Creates a fault that keeps the connection open without processing the request or sending a
    /// response.
    pub fn hanging() -> Self {
        Self { processes_request: false, delivery: ResponseDelivery::Hanging, ..Self::none() }
    }

    /// Creates a fault that closes the connection in the middle of the body, whose length was
    /// announced.
    pub fn truncated() -> Self {
        Self { delivery: ResponseDelivery::Interrupted(None, ConnectionFault::Closed), ..Self::none() }
    }

    /// Creates a fault that resets the connection in the middle of the body.
    pub fn reset() -> Self {
        Self { delivery: ResponseDelivery::Interrupted(None, ConnectionFault::Reset), ..Self::none() }
    }

    /// Creates a fault that stops sending in the middle of the body and keeps the connection open.
    pub fn stalled() -> Self {
        Self { delivery: ResponseDelivery::Interrupted(None, ConnectionFault::Stalled), ..Self::none() }
    }

    /// Creates a fault that sends the complete response byte by byte, with this pause after each
    /// byte. The pause is in real time.
    pub fn dripping(pause: Duration) -> Self {
        Self { delivery: ResponseDelivery::Dripping(pause), ..Self::none() }
    }

    fn from_named_fault(fault: NamedFault) -> Self {
        Self { named: Some(fault), ..Self::none() }
    }

    fn from_change(change: JsonChange) -> Self {
        Self::none().with_override(|overrides| overrides.change = Some(change))
    }
}

/// Changes of the response, either the mock's own or the specified one.
///
/// # Panics
///
/// All methods panic if the fault sends no response or is a named fault.
/// [`after_processing`](Self::after_processing) panics only for named faults.
impl Fault {
    /// Sets the body to an HTML page that names the status, as sent by proxies.
    #[track_caller]
    pub fn html(self) -> Self {
        self.with_content(Content::StatusPage)
    }

    /// Sets the body, with the content type `application/json`. The body need not be valid JSON.
    #[track_caller]
    pub fn json(self, text: impl Into<Bytes>) -> Self {
        self.with_content(Content::Custom(HeaderValue::from_static("application/json"), text.into()))
    }

    /// Sets the body and content type.
    ///
    /// # Panics
    ///
    /// Panics if the content type is not a valid header value.
    #[track_caller]
    pub fn body(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.with_content(Content::Custom(header_value(content_type), body.into()))
    }

    /// Replaces the content type and keeps the body.
    ///
    /// # Panics
    ///
    /// Panics if it is not a valid header value.
    #[track_caller]
    pub fn content_type(self, content_type: &str) -> Self {
        self.with_override(|overrides| overrides.content_type = Some(header_value(content_type)))
    }

    /// Replaces the status, 200 to 599, for example to send an error as a success.
    ///
    /// # Panics
    ///
    /// Panics if the status is out of range.
    #[track_caller]
    pub fn with_status(self, status: u16) -> Self {
        assert!((200..600).contains(&status), "invalid status {status}: use 200 to 599");
        self.with_override(|overrides| overrides.status = Some(status))
    }

    /// Replaces a header. Multiple calls with the same name add multiple headers, except for
    /// `Content-Type`.
    ///
    /// # Panics
    ///
    /// Panics if the name or value is not valid in a header.
    #[track_caller]
    #[expect(clippy::panic, reason = "an invalid header name is a mistake in the test")]
    pub fn header(self, name: &str, text: &str) -> Self {
        let Ok(name) = HeaderName::try_from(name) else { panic!("invalid header name {name:?}") };
        if name == header::CONTENT_TYPE {
            return self.content_type(text);
        }
        let value = header_value(text);
        self.with_override(|overrides| overrides.headers.push((name, value)))
    }

    /// Sets the `Retry-After` header.
    #[track_caller]
    pub fn retry_after(self, retry_after: RetryAfter) -> Self {
        self.with_override(|overrides| overrides.retry_after = Some(retry_after))
    }

    /// Sends the tracking ID twice in its header, separated by a comma, as Webex sometimes does.
    #[track_caller]
    pub fn duplicate_tracking_id(self) -> Self {
        self.with_override(|overrides| overrides.duplicates_tracking_id = true)
    }

    /// Allows the request to be processed before the fault occurs: tokens are issued and codes are
    /// spent, but the client receives no success.
    #[track_caller]
    pub fn after_processing(mut self) -> Self {
        assert!(self.named.is_none(), "cannot change a named fault ({self})");
        self.processes_request = true;
        self
    }

    /// Adds a delay before the response, in real time.
    #[track_caller]
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.assert_sends_response();
        self.delay = Some(delay);
        self
    }

    /// Sets the number of bytes of the body that arrive before an interruption. Defaults to half of
    /// the body.
    ///
    /// # Panics
    ///
    /// Panics if the fault does not interrupt the response.
    #[track_caller]
    #[expect(clippy::panic, reason = "a length for a complete response is a mistake in the test")]
    pub fn after_bytes(mut self, bytes: usize) -> Self {
        let ResponseDelivery::Interrupted(after, _) = &mut self.delivery else {
            panic!("cannot interrupt after {bytes} bytes: this fault ({self}) does not interrupt the response")
        };
        *after = Some(bytes);
        self
    }

    #[track_caller]
    fn with_content(self, content: Content) -> Self {
        self.with_override(|overrides| overrides.content = Some(content))
    }

    #[track_caller]
    fn with_override(mut self, change: impl FnOnce(&mut ResponseOverride)) -> Self {
        self.assert_sends_response();
        change(&mut self.response_override);
        self
    }

    /// Panics if no response is sent. Otherwise a test could pass although its fault does not
    /// occur.
    #[track_caller]
    fn assert_sends_response(&self) {
        assert!(self.named.is_none(), "cannot change a named fault ({self})");
        let arrives = !matches!(self.delivery, ResponseDelivery::Lost | ResponseDelivery::Hanging);
        assert!(arrives, "cannot change the response: this fault ({self}) sends none");
    }
}

macro_rules! from_named {
    ($($fault:ident at $endpoint:ident;)*) => {
        $(
            #[doc = concat!("Converts the fault, for use at [`MockEndpoint::", stringify!($endpoint), "`](crate::testing::MockEndpoint::", stringify!($endpoint), ").")]
            impl From<$fault> for Fault {
                fn from(fault: $fault) -> Self {
                    Self::from_named_fault(fault.into())
                }
            }
        )*
    };
}

impl From<WebexError> for Fault {
    fn from(error: WebexError) -> Self {
        Self::error(error)
    }
}

from_named! {
    IdTokenFault at Token;
    TokensFault at Token;
    JwksFault at Jwks;
    DiscoveryFault at Discovery;
    UserInfoFault at UserInfo;
    CallbackFault at Authorization;
    DeviceStartFault at DeviceAuthorization;
    DevicePollFault at DeviceToken;
}

#[track_caller]
#[expect(clippy::panic, reason = "an invalid header value is a mistake in the test")]
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| panic!("invalid header value {text:?}"))
}

/// Formats a short description for [`MockRequest`](crate::testing::MockRequest) and the list of
/// received requests.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(named) = self.named {
            return write!(f, "{named:?}");
        }
        match (self.delivery, &self.response_override.change, self.response_override.status) {
            (ResponseDelivery::Lost, ..) => {
                f.write_str(if self.processes_request { "response lost" } else { "connection closed" })
            }
            (ResponseDelivery::Hanging, ..) => f.write_str("no response"),
            (ResponseDelivery::Interrupted(_, ConnectionFault::Closed), ..) => f.write_str("response truncated"),
            (ResponseDelivery::Interrupted(_, ConnectionFault::Reset), ..) => f.write_str("connection reset"),
            (ResponseDelivery::Interrupted(_, ConnectionFault::Stalled), ..) => f.write_str("response stalled"),
            (ResponseDelivery::Dripping(_), ..) => f.write_str("response dripping"),
            (_, Some(JsonChange::RemoveMember(name)), _) => write!(f, "without {name}"),
            (_, Some(JsonChange::DuplicateMember(name)), _) => write!(f, "duplicate {name}"),
            (_, Some(JsonChange::Edit(_)), _) => f.write_str("edited response"),
            (_, Some(JsonChange::SetMember(name, _)), _) => write!(f, "changed {name}"),
            (_, None, Some(status)) if !self.keeps_mock_response => write!(f, "status {status}"),
            (_, None, Some(status)) => write!(f, "status changed to {status}"),
            _ if self.response_override.is_plain() => f.write_str("no fault"),
            _ => f.write_str("response changed"),
        }
    }
}

macro_rules! named_faults {
    ($($kind:ident($fault:ident) at $endpoint:ident, $take:ident;)*) => {
        /// A fault with a name. It takes effect where the mock would otherwise succeed.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum NamedFault {
            $($kind($fault),)*
        }

        impl NamedFault {
            /// Returns the only endpoint where the fault can occur.
            pub(crate) fn endpoint(self) -> MockEndpoint {
                match self {
                    $(Self::$kind(_) => MockEndpoint::$endpoint,)*
                }
            }

            $(
                pub(crate) fn $take(self) -> Option<$fault> {
                    if let Self::$kind(fault) = self { Some(fault) } else { None }
                }
            )*
        }

        $(
            impl From<$fault> for NamedFault {
                fn from(fault: $fault) -> Self {
                    Self::$kind(fault)
                }
            }
        )*
    };
}

named_faults! {
    IdToken(IdTokenFault) at Token, id_token;
    Tokens(TokensFault) at Token, tokens;
    Keys(JwksFault) at Jwks, keys;
    Discovery(DiscoveryFault) at Discovery, discovery;
    UserInfo(UserInfoFault) at UserInfo, user_info;
    Callback(CallbackFault) at Authorization, callback;
    DeviceStart(DeviceStartFault) at DeviceAuthorization, device_start;
    DevicePoll(DevicePollFault) at DeviceToken, device_poll;
}
