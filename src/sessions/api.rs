//! Calls to the Webex API with a session: requests, JSON responses, and lists.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::protocol::api_request::{self, ApiPage};
use crate::secret::AccessToken;
use crate::sessions::session::Session;
use crate::trace::event;

impl Session {
    /// Fetches `path` with `GET` and deserializes the JSON response.
    ///
    /// `path` is relative to [`Service::base_url`](crate::Service::base_url), for example
    /// `people/me`. A URL on an API host of the service is accepted as well. The token is refreshed
    /// once after a 401, as by [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// The errors of [`ApiRequest::fetch`].
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use serde::Deserialize;
    /// # use webex_oauth::store::{MemoryStore, TokenKey};
    /// # use webex_oauth::testing::MockWebex;
    /// # use webex_oauth::{Callback, TokenManager};
    ///
    /// #[derive(Deserialize)]
    /// #[serde(rename_all = "camelCase")]
    /// struct Person {
    ///     display_name: String,
    /// }
    ///
    /// # let mock = MockWebex::start().await;
    /// # let webex = mock.client();
    /// # let manager = TokenManager::new(webex.clone(), MemoryStore::new())?;
    /// # let (url, pending) = webex.authorize().begin()?;
    /// # let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    /// # let session = manager.put(&TokenKey::new("jane")?, login).await?;
    /// let person = session.get_json::<Person>("people/me").await?;
    /// assert_eq!(person.display_name, "Jane Doe");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_json<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Result<T> {
        self.request(Method::GET, path).fetch().await
    }

    /// Begins a request to the Webex API.
    ///
    /// `path` is relative to [`Service::base_url`](crate::Service::base_url), for example
    /// `messages`. A leading `/` and the path of the base URL may be repeated: `rooms`, `/rooms`,
    /// and `/v1/rooms` are the same. A URL on an API host of the service is accepted as well.
    ///
    /// An invalid path is reported by [`ApiRequest::send`] and [`ApiRequest::fetch`]: one that leaves
    /// the base URL, has `.` or `..` segments (encoded or not), an empty segment, or characters that
    /// must be percent-encoded.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use serde_json::{Value, json};
    /// use webex_oauth::Session;
    /// use webex_oauth::http::Method;
    ///
    /// async fn greet(session: &Session, email: &str) -> webex_oauth::Result<Value> {
    ///     session
    ///         .request(Method::POST, "messages")
    ///         .json(&json!({ "toPersonEmail": email, "text": "Hello" }))
    ///         .max_rate_limit_wait(Duration::from_secs(30))
    ///         .fetch()
    ///         .await
    /// }
    /// ```
    pub fn request(&self, method: Method, path: impl AsRef<str>) -> ApiRequest {
        let request = api_request::api_url(self.webex().registration(), path.as_ref()).map(|url| {
            let mut request = Request::new(Bytes::new());
            *request.method_mut() = method;
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
            (request, url)
        });
        ApiRequest { session: self.clone(), request, max_rate_limit_wait: Duration::ZERO }
    }

    /// Lists the items at `path`, over all pages.
    ///
    /// The items are in the member `items` of each page; for another one, use
    /// [`list_at`](Self::list_at). See [`ItemStream`] for paging and errors. Not all lists of Webex
    /// have pages; those of the SCIM API (`startIndex`) are not supported.
    ///
    /// # Example
    ///
    /// ```
    /// use serde::Deserialize;
    /// use webex_oauth::Session;
    ///
    /// #[derive(Deserialize)]
    /// struct Room {
    ///     title: String,
    /// }
    ///
    /// async fn print_rooms(session: &Session) -> webex_oauth::Result<()> {
    ///     let mut rooms = session.list::<Room>("rooms?max=100");
    ///     while let Some(room) = rooms.try_next().await? {
    ///         println!("{}", room.title);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn list<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> ItemStream<T> {
        self.list_at("items", path)
    }

    /// Lists the items in the member `member` of each page, for example `locations`.
    pub fn list_at<T: DeserializeOwned>(&self, member: impl Into<String>, path: impl AsRef<str>) -> ItemStream<T> {
        ItemStream {
            pages: Pages {
                session: self.clone(),
                member: member.into(),
                state: PageState::Start(api_request::api_url(self.webex().registration(), path.as_ref())),
                first: None,
                visited: HashSet::new(),
                max_rate_limit_wait: Duration::ZERO,
            },
            items: VecDeque::new(),
            item_type: PhantomData,
        }
    }
}

/// A request to the Webex API, created by [`Session::request`].
///
/// Requests are not repeated, except once after a 401 with a new token, and after a rate limit if
/// [`max_rate_limit_wait`](Self::max_rate_limit_wait) is set.
#[must_use = "the request is sent by `send` or `fetch`"]
pub struct ApiRequest {
    session: Session,
    request: Result<(Request<Bytes>, Url)>,
    max_rate_limit_wait: Duration,
}

impl ApiRequest {
    /// Adds query parameters: a struct, a map, or a list of pairs. `None` is skipped.
    ///
    /// The values are percent-encoded, including a `+` in an email address. Values that are not a
    /// string, a number, or a Boolean are reported when the request is sent.
    ///
    /// # Example
    ///
    /// ```
    /// # use serde_json::Value;
    /// # use webex_oauth::Session;
    /// # async fn find(session: &Session) -> webex_oauth::Result<Value> {
    /// use webex_oauth::http::Method;
    ///
    /// let query = [("email", "jane+test@example.com")];
    /// session.request(Method::GET, "people").query(&query).fetch().await
    /// # }
    /// ```
    pub fn query(mut self, parameters: &impl Serialize) -> Self {
        self.request = self.request.and_then(|(request, mut url)| {
            api_request::add_query(&mut url, parameters)?;
            Ok((request, url))
        });
        self
    }

    /// Sets the JSON body. A value that cannot be serialized is reported when the request is sent.
    pub fn json(mut self, body: &(impl Serialize + ?Sized)) -> Self {
        self.request = self.request.and_then(|(mut request, url)| {
            let json = serde_json::to_vec(body)
                .map_err(|_| Error::new(ErrorKind::InvalidInput, "request body cannot be serialized as JSON"))?;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = json.into();
            Ok((request, url))
        });
        self
    }

    /// Sets the total time to wait for rate limits. Defaults to 0: a 429 is returned at once.
    ///
    /// After a 429 or 423, the request is sent again after the duration in `Retry-After` (clamped to
    /// between 1 second and 1 hour), unless this exceeds the limit. Webex did not process such a
    /// request, so repeating it is safe.
    pub fn max_rate_limit_wait(mut self, limit: Duration) -> Self {
        self.max_rate_limit_wait = limit;
        self
    }

    /// Sends the request and returns the response with any status, as [`Session::send`].
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): the path, the query, or the
    ///   body is invalid. Nothing was sent.
    /// - [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported): the service has no REST API
    ///   (Webex Meetings).
    /// - The other errors of [`Session::send`].
    pub async fn send(self) -> Result<Response<Bytes>> {
        self.send_with_token().await.map(|(response, _)| response)
    }

    /// Sends the request and deserializes the JSON response. An empty response is deserialized as
    /// `null`, so `fetch::<()>` fits a `DELETE`.
    ///
    /// # Errors
    ///
    /// - The errors of [`send`](Self::send).
    /// - [`ErrorKind::ApiRequest`](crate::ErrorKind::ApiRequest): the status is not a success, or
    ///   the response does not have the type `T`. [`Error::server`] returns the status and Webex's
    ///   message, [`Error::tracking_id`] the ID for Cisco support, and [`Error::retry_after`] the
    ///   time to wait after a 429 or 423. [`is_misconfigured`](Error::is_misconfigured) returns
    ///   `true` after a 403: a scope or a role is missing.
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<T> {
        let session = self.session.clone();
        let (response, token) = self.send_with_token().await?;
        api_request::read_api_response(&response, &token, session.webex().now())
    }

    /// Sends the request and returns the response and the access token of its last attempt.
    async fn send_with_token(self) -> Result<(Response<Bytes>, AccessToken)> {
        let (mut request, url) = self.request?;
        *request.uri_mut() = url.as_str().parse().map_err(|_| {
            Error::new(ErrorKind::InvalidInput, "URL of the request is too long or not valid: shorten the query")
        })?;
        let mut left = self.max_rate_limit_wait;
        loop {
            let (response, token) = self.session.send_with_token(&request).await?;
            let is_rate_limited = matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::LOCKED);
            let wait = self.session.retry_after(&response).filter(|wait| is_rate_limited && *wait <= left);
            let Some(wait) = wait else { return Ok((response, token)) };
            left -= wait;
            event!(DEBUG, key = ?self.session.key(), pause_secs = wait.as_secs(), "waiting for the rate limit");
            self.session.webex().clock().sleep(wait).await;
        }
    }
}

/// Contains the method and the path, but not the query, which may contain personal data.
impl fmt::Debug for ApiRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ApiRequest");
        match &self.request {
            Ok((request, url)) => debug.field("method", request.method()).field("path", &url.path()),
            Err(error) => debug.field("error", error),
        };
        debug.finish_non_exhaustive()
    }
}

/// The items of a list over all pages, created by [`Session::list`].
///
/// The next page is requested when the items of the current page have been returned. Its URL is the
/// `Link` with `rel="next"` (RFC 8288), which must be on an API host of the service. Two known
/// faults of Webex's links are corrected: `max=null` is removed, and query parameters of the first
/// request that are missing are added. A link that was already followed ends the list.
///
/// # Errors
///
/// [`try_next`](Self::try_next) returns:
///
/// - the errors of [`ApiRequest::fetch`] if a page cannot be fetched. After a
///   [retryable](Error::is_retryable) error, the next call requests this page again, so no item is
///   lost or repeated. Any other error ends the list.
/// - [`ErrorKind::ApiRequest`](crate::ErrorKind::ApiRequest) if a page does not have the member, or
///   if the link to the next page leads to another host. This ends the list.
/// - [`ErrorKind::ApiRequest`](crate::ErrorKind::ApiRequest) if an item does not have the type `T`.
///   The next call continues with the next item.
///
/// # Cancellation
///
/// Dropping the future of [`try_next`](Self::try_next) loses nothing.
///
/// Implements [`Stream`].
#[must_use = "nothing is requested before `try_next` is called"]
pub struct ItemStream<T> {
    pages: Pages,
    items: VecDeque<Box<RawValue>>,
    item_type: PhantomData<fn() -> T>,
}

impl<T> ItemStream<T> {
    /// Sets the total time to wait for rate limits for each page. Defaults to 0.
    ///
    /// See [`ApiRequest::max_rate_limit_wait`].
    pub fn max_rate_limit_wait(mut self, limit: Duration) -> Self {
        self.pages.max_rate_limit_wait = limit;
        self
    }
}

impl<T: DeserializeOwned> ItemStream<T> {
    /// Returns the next item, or `None` at the end of the list.
    pub async fn try_next(&mut self) -> Result<Option<T>> {
        poll_fn(|context| self.poll_item(context)).await.transpose()
    }

    /// Returns all remaining items. Use it for short lists only.
    ///
    /// # Errors
    ///
    /// The first error of [`try_next`](Self::try_next).
    pub async fn try_collect(mut self) -> Result<Vec<T>> {
        let mut items = Vec::new();
        while let Some(item) = self.try_next().await? {
            items.push(item);
        }
        Ok(items)
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Poll::Ready(Some(api_request::read_api_item(&item)));
            }
            match ready!(self.pages.poll_next_page(context)) {
                Some(Ok(items)) => self.items = items.into(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<T: DeserializeOwned> Stream for ItemStream<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(context)
    }
}

impl<T> fmt::Debug for ItemStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemStream").field("member", &self.pages.member).finish_non_exhaustive()
    }
}

type PageFuture = Pin<Box<dyn Future<Output = Result<ApiPage>> + Send>>;

/// The pages of a list.
struct Pages {
    session: Session,
    member: String,
    state: PageState,
    /// The URL of the first page.
    first: Option<Url>,
    /// The URLs of all pages so far.
    visited: HashSet<String>,
    max_rate_limit_wait: Duration,
}

enum PageState {
    /// The first page was not requested yet, or the URL of the next one is invalid.
    Start(Result<Url>),
    Ready(Url),
    Fetching(Url, PageFuture),
    Finished,
}

impl Pages {
    fn poll_next_page(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Vec<Box<RawValue>>>>> {
        loop {
            match std::mem::replace(&mut self.state, PageState::Finished) {
                PageState::Finished => return Poll::Ready(None),
                PageState::Start(Err(error)) => return Poll::Ready(Some(Err(error))),
                PageState::Start(Ok(url)) => {
                    self.first = Some(url.clone());
                    self.visited.insert(url.to_string());
                    self.state = PageState::Ready(url);
                }
                PageState::Ready(url) => {
                    let first = self.first.clone().unwrap_or_else(|| url.clone());
                    let page = self.fetch_page(first, url.clone());
                    self.state = PageState::Fetching(url, Box::pin(page));
                }
                PageState::Fetching(url, mut page) => match page.as_mut().poll(context) {
                    Poll::Pending => {
                        self.state = PageState::Fetching(url, page);
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(error)) => {
                        // Other errors would occur again, and a caller that skips them would never end.
                        self.state = if error.is_retryable() { PageState::Ready(url) } else { PageState::Finished };
                        return Poll::Ready(Some(Err(error)));
                    }
                    Poll::Ready(Ok(ApiPage { items, next })) => {
                        self.state = self.state_after(next);
                        return Poll::Ready(Some(Ok(items)));
                    }
                },
            }
        }
    }

    fn state_after(&mut self, next: Option<Url>) -> PageState {
        let Some(next) = next else { return PageState::Finished };
        if let Err(error) = api_request::check_page_link(self.session.webex().registration(), &next) {
            return PageState::Start(Err(error));
        }
        if self.visited.insert(next.to_string()) {
            return PageState::Ready(next);
        }
        event!(WARN, key = ?self.session.key(), "list ended: the link to the next page was already followed");
        PageState::Finished
    }

    fn fetch_page(&self, first: Url, url: Url) -> impl Future<Output = Result<ApiPage>> + Send + use<> {
        let request = self.session.request(Method::GET, url.as_str());
        let request = request.max_rate_limit_wait(self.max_rate_limit_wait);
        let (session, member) = (self.session.clone(), self.member.clone());
        async move {
            let (response, token) = request.send_with_token().await?;
            api_request::read_api_page(&response, &member, (&first, &url), &token, session.webex().now())
        }
    }
}
