//! What goes wrong with an answer, as a value.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use serde_json::Value;

use crate::testing::callback_fault::CallbackFault;
use crate::testing::device_poll_fault::DevicePollFault;
use crate::testing::device_start_fault::DeviceStartFault;
use crate::testing::discovery_fault::DiscoveryFault;
use crate::testing::dress::{Change, Content, Dress, Edit};
use crate::testing::fate::{Ending, Fate};
use crate::testing::faults::NamedFault;
use crate::testing::id_token_fault::IdTokenFault;
use crate::testing::keys_fault::KeysFault;
use crate::testing::retry_after::RetryAfter;
use crate::testing::tokens_fault::TokensFault;
use crate::testing::user_info_fault::UserInfoFault;
use crate::testing::webex_error::{ErrorFormat, WebexError};

/// What goes wrong with one answer of the mock: in place of it, with it, or with the connection that it comes by.
///
/// [`MockWebex::on`](crate::testing::MockWebex::on) says where and how often.
///
/// | fault | what the mock does with the request | what arrives |
/// |---|---|---|
/// | [`none`](Self::none) | acts on it | the mock's own answer, as it is or with another status, header, content type or body |
/// | [`status`](Self::status), [`error`](Self::error), [`error_as`](Self::error_as), [`captive_portal`](Self::captive_portal), [`redirect`](Self::redirect) | nothing, unless [`after_acting`](Self::after_acting) | the answer made so |
/// | [`without`](Self::without), [`twice`](Self::twice), [`member`](Self::member) | acts on it | its own answer, changed |
/// | [`closed`](Self::closed), [`hanging`](Self::hanging) | nothing, unless [`after_acting`](Self::after_acting) | nothing; the connection is closed, or stays |
/// | [`lost_answer`](Self::lost_answer) | acts on it | nothing; the connection is closed |
/// | [`truncated`](Self::truncated), [`reset`](Self::reset), [`stalled`](Self::stalled), [`dripping`](Self::dripping) | acts on it | a part of its own answer, or all of it slowly; these take [`MockWebexBuilder::relay`](crate::testing::MockWebexBuilder::relay) |
///
/// # Example
///
/// The server acts, and the connection dies before its answer arrives. Webex's refresh tokens do not rotate, so this crate
/// repeats the refresh:
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
/// mock.on(MockEndpoint::Refresh).respond_with(Fault::lost_answer());
/// webex.refresh(login.tokens()).await?;
/// assert_eq!(mock.refreshes_of("jane@example.com"), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    /// Whether the answer is the mock's own, if there is one, and not an empty one.
    pub(super) keeps_own: bool,
    pub(super) dress: Dress,
    /// Whether the rules see the request.
    pub(super) acts: bool,
    pub(super) delay: Option<Duration>,
    pub(super) fate: Fate,
    /// A fault that the rules of the mock apply, in place of everything above.
    pub(super) named: Option<NamedFault>,
}

/// What a script can say in place of an answer.
impl Fault {
    /// Nothing goes wrong: for a script in which the first answers are good; or what is said of it after this. Right tokens as
    /// a page, for example, are `Fault::none().content_type("text/html")`.
    pub fn none() -> Self {
        Self { keeps_own: true, dress: Dress::default(), acts: true, delay: None, fate: Fate::Whole, named: None }
    }

    /// An empty answer with this status, 200 to 599; [`html`](Self::html), [`json`](Self::json) or [`body`](Self::body) fill
    /// it.
    ///
    /// # Panics
    ///
    /// When there is no such status.
    #[track_caller]
    pub fn status(status: u16) -> Self {
        Self { keeps_own: false, acts: false, ..Self::none() }.with_status(status)
    }

    /// One of Webex's errors, as the REST API writes it.
    pub fn error(error: WebexError) -> Self {
        Self::error_as(ErrorFormat::Documented, error)
    }

    /// One of Webex's errors, in one of the shapes that Webex writes errors in.
    pub fn error_as(shape: ErrorFormat, error: WebexError) -> Self {
        Self::status(error.status()).filled(Content::Error(shape, error))
    }

    /// The page of a network that wants its users to sign in, with status 200.
    pub fn captive_portal() -> Self {
        Self::status(200).filled(Content::Portal)
    }

    /// A redirect with this status to another origin of this machine, where a stranger answers with tokens.
    /// [`MockWebex::followed_redirects`](crate::testing::MockWebex::followed_redirects) says who went there; this crate never
    /// does.
    ///
    /// # Panics
    ///
    /// When the status is none of 301, 302, 303, 307 and 308.
    #[track_caller]
    pub fn redirect(status: u16) -> Self {
        assert!(
            matches!(status, 301 | 302 | 303 | 307 | 308),
            "{status} is no redirect: they are 301, 302, 303, 307, 308"
        );
        Self::status(status).dressed(|dress| dress.redirects = true)
    }

    /// The mock's own answer without a member of its JSON: a success without `access_token`, for example.
    pub fn without(member: impl Into<String>) -> Self {
        Self::changed(Change::Without(member.into()))
    }

    /// The mock's own answer with a member of its JSON twice.
    pub fn twice(member: impl Into<String>) -> Self {
        Self::changed(Change::Twice(member.into()))
    }

    /// The mock's own answer with another value of a member of its JSON, or with one more. `json` goes out as it is, such as
    /// `"1209599"` with its quotation marks or `null`.
    pub fn member(member: impl Into<String>, json: impl Into<String>) -> Self {
        Self::changed(Change::Member(member.into(), json.into()))
    }

    /// Edits the JSON body of the mock's own response.
    ///
    /// Other bodies stay unchanged. Use this for any fault without a name.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::{Fault, MockEndpoint, MockWebex};
    ///
    /// let mock = MockWebex::start().await;
    /// let webex = mock.client();
    /// mock.on(MockEndpoint::Token).respond_with(Fault::edit(|json| json["expires_in"] = 1.into()));
    ///
    /// let (url, pending) = webex.authorize().begin()?;
    /// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    /// assert_eq!(login.tokens().expires_at(), Some(webex.now() + std::time::Duration::from_secs(1)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn edit(edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self::changed(Change::Edit(Edit(Arc::new(edit))))
    }

    /// The connection is closed and nothing was done.
    pub fn closed() -> Self {
        Self { acts: false, fate: Fate::Lost, ..Self::none() }
    }

    /// What was asked is done, and the connection is closed before the answer arrives.
    pub fn lost_answer() -> Self {
        Self::closed().after_acting()
    }

    /// Nothing is done, nothing comes, and the connection stays.
    pub fn hanging() -> Self {
        Self { acts: false, fate: Fate::Hung, ..Self::none() }
    }

    /// The connection is closed in the middle of the body, whose length was announced.
    pub fn truncated() -> Self {
        Self { fate: Fate::Cut(None, Ending::Closed), ..Self::none() }
    }

    /// The connection is reset in the middle of the body.
    pub fn reset() -> Self {
        Self { fate: Fate::Cut(None, Ending::Reset), ..Self::none() }
    }

    /// The connection goes dead in the middle of the body: it stays, and nothing comes any more.
    pub fn stalled() -> Self {
        Self { fate: Fate::Cut(None, Ending::Stalled), ..Self::none() }
    }

    /// The whole answer comes, byte after byte, with this pause after each. The pause is real time.
    pub fn dripping(pause: Duration) -> Self {
        Self { fate: Fate::Dripping(pause), ..Self::none() }
    }

    fn named(fault: NamedFault) -> Self {
        Self { named: Some(fault), ..Self::none() }
    }

    fn changed(change: Change) -> Self {
        Self::none().dressed(|dress| dress.change = Some(change))
    }
}

/// What else there is to say of it: of the mock's own answer, where that goes out, as of one that is made.
///
/// # Panics
///
/// All of these, but for [`after_acting`](Self::after_acting), where nothing arrives of which it could be said.
impl Fault {
    /// With a page of HTML that names the status, as proxies send it.
    #[track_caller]
    pub fn html(self) -> Self {
        self.filled(Content::StatusPage)
    }

    /// With this text as JSON, which it need not be.
    #[track_caller]
    pub fn json(self, text: impl Into<Bytes>) -> Self {
        self.filled(Content::Own(HeaderValue::from_static("application/json"), text.into()))
    }

    /// With this body and content type.
    ///
    /// # Panics
    ///
    /// When no header can hold the content type.
    #[track_caller]
    pub fn body(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.filled(Content::Own(value(content_type), body.into()))
    }

    /// With this content type in place of its own, and the same body.
    ///
    /// # Panics
    ///
    /// When no header can hold it.
    #[track_caller]
    pub fn content_type(self, content_type: &str) -> Self {
        self.dressed(|dress| dress.content_type = Some(value(content_type)))
    }

    /// With this status in place of its own, 200 to 599: an error that comes as a success, for example.
    ///
    /// # Panics
    ///
    /// When there is no such status.
    #[track_caller]
    pub fn with_status(self, status: u16) -> Self {
        assert!((200..600).contains(&status), "no answer can have the status {status}: it is 200 to 599");
        self.dressed(|dress| dress.status = Some(status))
    }

    /// With this header in place of the answer's own of this name; said twice, twice. `Content-Type` is one that an answer has
    /// once.
    ///
    /// # Panics
    ///
    /// When no header can have this name or value.
    #[track_caller]
    #[expect(clippy::panic, reason = "a name that no header can have is a mistake in the test")]
    pub fn header(self, name: &str, text: &str) -> Self {
        let Ok(name) = HeaderName::try_from(name) else { panic!("no header can have the name {name:?}") };
        if name == header::CONTENT_TYPE {
            return self.content_type(text);
        }
        let value = value(text);
        self.dressed(|dress| dress.headers.push((name, value)))
    }

    /// With the header `Retry-After`.
    #[track_caller]
    pub fn retry_after(self, retry_after: RetryAfter) -> Self {
        self.dressed(|dress| dress.retry_after = Some(retry_after))
    }

    /// With the tracking id twice in its header, a comma between, as Webex's answers have it now and then.
    #[track_caller]
    pub fn tracking_id_twice(self) -> Self {
        self.dressed(|dress| dress.doubles_tracking_id = true)
    }

    /// What was asked is done all the same: tokens are issued, codes are spent, and the client does not learn of it.
    #[track_caller]
    pub fn after_acting(mut self) -> Self {
        assert!(self.named.is_none(), "a named fault cannot be combined with others ({self})");
        self.acts = true;
        self
    }

    /// It comes so much later, in real time.
    #[track_caller]
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.assert_arrives();
        self.delay = Some(delay);
        self
    }

    /// How many bytes of the body arrive where it does not arrive whole; half of them by default.
    ///
    /// # Panics
    ///
    /// Where it arrives whole.
    #[track_caller]
    #[expect(clippy::panic, reason = "an end of what does not end too soon is a mistake in the test")]
    pub fn after(mut self, bytes: usize) -> Self {
        let Fate::Cut(after, _) = &mut self.fate else { panic!("this does not end after {bytes} bytes ({self})") };
        *after = Some(bytes);
        self
    }

    #[track_caller]
    fn filled(self, content: Content) -> Self {
        self.dressed(|dress| dress.content = Some(content))
    }

    #[track_caller]
    fn dressed(mut self, change: impl FnOnce(&mut Dress)) -> Self {
        self.assert_arrives();
        change(&mut self.dress);
        self
    }

    /// A fault that is not the one that was meant would let a test pass for nothing.
    #[track_caller]
    fn assert_arrives(&self) {
        assert!(self.named.is_none(), "a named fault cannot be combined with others ({self})");
        let arrives = !matches!(self.fate, Fate::Lost | Fate::Hung);
        assert!(arrives, "nothing arrives here ({self}) that could be as you say");
    }
}

macro_rules! from_named {
    ($($fault:ident at $endpoint:ident;)*) => {
        $(
            #[doc = concat!("Use it at [`MockEndpoint::", stringify!($endpoint), "`](crate::testing::MockEndpoint::", stringify!($endpoint), ").")]
            impl From<$fault> for Fault {
                fn from(fault: $fault) -> Self {
                    Self::named(fault.into())
                }
            }
        )*
    };
}

from_named! {
    IdTokenFault at Token;
    TokensFault at Token;
    KeysFault at Keys;
    DiscoveryFault at Discovery;
    UserInfoFault at UserInfo;
    CallbackFault at Authorization;
    DeviceStartFault at DeviceAuthorization;
    DevicePollFault at DeviceToken;
}

#[track_caller]
#[expect(clippy::panic, reason = "a value that no header can have is a mistake in the test")]
fn value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| panic!("no header can hold {text:?}"))
}

/// A few words, as [`MockRequest`](crate::testing::MockRequest) and the list of what came show it.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(named) = self.named {
            return write!(f, "{named:?}");
        }
        match (self.fate, &self.dress.change, self.dress.status) {
            (Fate::Lost, ..) => f.write_str(if self.acts { "answer lost" } else { "connection closed" }),
            (Fate::Hung, ..) => f.write_str("no answer"),
            (Fate::Cut(_, Ending::Closed), ..) => f.write_str("answer truncated"),
            (Fate::Cut(_, Ending::Reset), ..) => f.write_str("connection reset"),
            (Fate::Cut(_, Ending::Stalled), ..) => f.write_str("answer stalled"),
            (Fate::Dripping(_), ..) => f.write_str("answer dripping"),
            (_, Some(Change::Without(name)), _) => write!(f, "without {name}"),
            (_, Some(Change::Twice(name)), _) => write!(f, "{name} twice"),
            (_, Some(Change::Edit(_)), _) => f.write_str("edited response"),
            (_, Some(Change::Member(name, _)), _) => write!(f, "another {name}"),
            (_, None, Some(status)) if !self.keeps_own => write!(f, "status {status} made"),
            (_, None, Some(status)) => write!(f, "with status {status}"),
            _ if self.dress.is_plain() => f.write_str("no fault"),
            _ => f.write_str("answer changed"),
        }
    }
}
