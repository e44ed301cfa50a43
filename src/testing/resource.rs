//! The handle of a resource: its scopes, pages, and current data.

use std::fmt;
use std::sync::Mutex;

use serde::Serialize;
use serde_json::Value;

use crate::scope::Scopes;
use crate::testing::endpoint::{self, MockEndpoint};
use crate::testing::faults::link::LinkFault;
use crate::testing::model::resources::{Content, Settings};
use crate::testing::model::state::State;
use crate::testing::rules;
use crate::testing::server::lock_ignoring_poison;

/// A resource of the REST API, added by [`MockWebex::resource`](crate::testing::MockWebex::resource).
///
/// Settings apply to the next request. Dropping this handle does not remove the resource.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use serde_json::json;
/// use webex_oauth::testing::{LinkFault, MockWebex};
///
/// let mock = MockWebex::start().await;
/// let recordings = mock
///     .resource("recordings", json!([{"id": "1"}, {"id": "2"}, {"id": "3"}]))
///     .requires("meeting:recordings_read spark:recordings_read")
///     .requires_to_write("meeting:recordings_write")
///     .page_size(2)
///     .link_fault(LinkFault::NullMax);
/// assert_eq!(recordings.json()[0]["id"], "1");
/// # }
/// ```
pub struct MockResource<'a> {
    state: &'a Mutex<State>,
    id: u64,
    path: String,
}

impl<'a> MockResource<'a> {
    #[track_caller]
    #[expect(clippy::panic, reason = "a path or value that cannot be served is a mistake in the test")]
    pub(crate) fn add(state: &'a Mutex<State>, path: &str, user: Option<usize>, json: impl Serialize) -> Self {
        let json = serde_json::to_value(json);
        let json = json.unwrap_or_else(|error| panic!("cannot convert the resource {path:?} to JSON: {error}"));
        let content = Content::from_json(json);
        let content = content.unwrap_or_else(|reason| panic!("invalid resource {path:?}: {reason}"));
        let mut state_guard = lock_ignoring_poison(state);
        let path = endpoint::complete_path(path, state_guard.service);
        if !is_valid_path(&path) {
            drop(state_guard);
            panic!("invalid path {path:?}: use a path such as \"/v1/rooms\", without a query");
        }
        if rules::is_own_path(&path, &state_guard) {
            drop(state_guard);
            panic!("invalid path {path:?}: the mock implements it; use `MockWebex::on` to change its response");
        }
        let settings = Settings::for_path(&path);
        let id = state_guard.resources.add(&path, user, content, settings);
        Self { state, id, path }
    }

    /// Requires one of these scopes, separated by spaces, in place of the documented ones. With an
    /// empty string, any valid token suffices.
    ///
    /// `spark:all` includes all scopes that begin with `spark:`. Requests that write require the
    /// same scopes, except at paths with documented scopes for writing. Use
    /// [`requires_to_write`](Self::requires_to_write) to change them.
    ///
    /// # Panics
    ///
    /// Panics if a scope is invalid.
    #[track_caller]
    pub fn requires(self, scopes: impl AsRef<str>) -> Self {
        let scopes = parse_scopes(scopes.as_ref());
        self.set(|settings| settings.read_scopes = scopes)
    }

    /// Requires one of these scopes, separated by spaces, for `POST` and `DELETE`.
    ///
    /// # Panics
    ///
    /// Panics if a scope is invalid.
    #[track_caller]
    pub fn requires_to_write(self, scopes: impl AsRef<str>) -> Self {
        let scopes = parse_scopes(scopes.as_ref());
        self.set(|settings| settings.write_scopes = Some(scopes))
    }

    /// Requires a query parameter in requests for the list. Without it, the response is a 400.
    ///
    /// By default, lists of messages require `roomId`, and those of team memberships `teamId`.
    pub fn requires_parameter(self, name: impl Into<String>) -> Self {
        self.set(|settings| settings.required_parameter = Some(name.into()))
    }

    /// Limits the number of items per page. A larger `max` in a request is reduced to it, as with
    /// Webex.
    ///
    /// Defaults to at most 1000 items, 100 without `max`. The documented values are used for
    /// messages (50 without `max`) and meetings (at most 100, 10 without `max`).
    ///
    /// # Panics
    ///
    /// Panics if the number is 0.
    #[track_caller]
    pub fn page_size(self, max: usize) -> Self {
        assert!(max > 0, "invalid page size 0: use at least 1");
        self.set(|settings| settings.max_page_size = max)
    }

    /// Sets a fault in all links to a next page.
    pub fn link_fault(self, fault: LinkFault) -> Self {
        self.set(|settings| settings.link_fault = Some(fault))
    }

    /// Returns the current data: the object, or the array of items with the created ones first.
    ///
    /// Returns `null` after another call added a resource at the same path.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use serde_json::json;
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::MockWebex;
    ///
    /// let mock = MockWebex::start().await;
    /// let messages = mock.resource("messages", json!([]));
    /// let webex = mock.client();
    /// let (url, pending) = webex.authorize().begin()?;
    /// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    ///
    /// let request = reqwest::Client::new().post(format!("{}/messages", mock.uri()));
    /// let request = request.bearer_auth(login.tokens().access_token().expose());
    /// let request = request.header("content-type", "application/json");
    /// request.body(r#"{"roomId": "R1", "text": "Hello"}"#).send().await?;
    /// assert_eq!(messages.json()[0]["text"], "Hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn json(&self) -> Value {
        let state = lock_ignoring_poison(self.state);
        state.resources.get(self.id).map_or(Value::Null, |resource| resource.content.to_json())
    }

    /// Returns the endpoint, for [`MockWebex::on`](crate::testing::MockWebex::on),
    /// [`expect`](crate::testing::MockWebex::expect), and
    /// [`received`](crate::testing::MockWebex::received).
    pub fn endpoint(&self) -> MockEndpoint {
        MockEndpoint::Resource(self.path.clone())
    }

    fn set(self, change: impl FnOnce(&mut Settings)) -> Self {
        if let Some(resource) = lock_ignoring_poison(self.state).resources.get_mut(self.id) {
            change(&mut resource.settings);
        }
        self
    }
}

impl fmt::Debug for MockResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockResource").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Returns `true` if requests can have this path unchanged.
fn is_valid_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte);
    let is_segment = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(is_plain);
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment))
}

#[track_caller]
#[expect(clippy::panic, reason = "an invalid scope is a mistake in the test")]
fn parse_scopes(text: &str) -> Scopes {
    text.parse().unwrap_or_else(|error| panic!("invalid scopes {text:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::is_valid_path;

    #[test]
    fn path_with_query_or_empty_segment_is_invalid() {
        for path in ["/v1/rooms", "/v1/rooms/Y2lz/meetingInfo", "/a%20b", "/v1/people/jane@example.com"] {
            assert!(is_valid_path(path), "{path}");
        }
        for path in ["", "/", "/v1/", "/v1//rooms", "/v1/rooms?max=1", "/v1/rooms#a", "/v1/../x", "/a b", "/ä", "rooms"]
        {
            assert!(!is_valid_path(path), "{path}");
        }
    }
}
