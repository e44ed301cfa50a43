//! Request counters and the request log.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;

use crate::testing::endpoint::MockEndpoint;
use crate::testing::request::{MockRequest, hash};

/// The maximum number of logged requests. The oldest are removed first.
pub(super) const MAX_REQUESTS: usize = 1024;
/// The maximum number of counted paths. Additional paths are usually IDs rather than endpoints.
const MAX_PATHS: usize = 1024;
/// The maximum number of requests in the message of a failed expectation.
const MAX_LINES: usize = 20;

/// The mode of the request log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Recording {
    #[default]
    Off,
    Redacted,
    WithSecrets,
}

/// The request counters, the request log, and the expectations.
#[derive(Default)]
pub(super) struct RequestLog {
    pub(super) recording: Recording,
    pub(super) followed_redirects: usize,
    total: usize,
    places: HashMap<MockEndpoint, usize>,
    /// Counters by [`hash`] of the path, because a path may be long.
    paths: HashMap<u64, usize>,
    kept: VecDeque<MockRequest>,
    expectations: Vec<Expectation>,
}

/// An expected number of requests.
struct Expectation {
    endpoint: MockEndpoint,
    least: usize,
    most: Option<usize>,
    /// The number of earlier requests to the endpoint.
    count: usize,
    total: usize,
}

impl RequestLog {
    /// Counts a request.
    pub(super) fn count(&mut self, place: Option<&MockEndpoint>, path: &str) {
        self.total += 1;
        if let Some(place) = place {
            *self.places.entry(place.clone()).or_default() += 1;
        }
        let path = hash(path);
        if let Some(count) = self.paths.get_mut(&path) {
            *count += 1;
        } else if self.paths.len() < MAX_PATHS {
            self.paths.insert(path, 1);
        }
    }

    /// Logs a request if recording is enabled.
    pub(super) fn keep(&mut self, request: impl FnOnce(bool) -> MockRequest) {
        if self.recording == Recording::Off {
            return;
        }
        if self.kept.len() == MAX_REQUESTS {
            self.kept.pop_front();
        }
        self.kept.push_back(request(self.recording == Recording::WithSecrets));
    }

    /// Returns the number of requests to an endpoint.
    pub(super) fn requests_to(&self, endpoint: &MockEndpoint) -> usize {
        let at = |place: &MockEndpoint| self.places.get(place).copied().unwrap_or_default();
        match endpoint {
            MockEndpoint::Any => self.total,
            MockEndpoint::Path(path) => self.paths.get(&hash(path)).copied().unwrap_or_default(),
            MockEndpoint::Token => at(endpoint) + at(&MockEndpoint::Exchange) + at(&MockEndpoint::Refresh),
            _ => at(endpoint),
        }
    }

    /// Returns the logged requests to an endpoint, oldest first.
    pub(super) fn received(&self, endpoint: &MockEndpoint) -> Vec<MockRequest> {
        let covered = |request: &&MockRequest| match endpoint {
            MockEndpoint::Path(path) => request.path_hash == hash(path),
            // None of these variants depends on the path.
            _ => endpoint.covers(request.endpoint(), ""),
        };
        self.kept.iter().filter(covered).cloned().collect()
    }

    /// Adds an expectation about requests from now on, and enables the log for its message.
    pub(super) fn expect(&mut self, endpoint: MockEndpoint, least: usize, most: Option<usize>) {
        if self.recording == Recording::Off {
            self.recording = Recording::Redacted;
        }
        let count = self.requests_to(&endpoint);
        self.expectations.push(Expectation { endpoint, least, most, count, total: self.total });
    }

    /// Returns a message about unmet expectations and removes all expectations.
    pub(super) fn unmet(&mut self) -> Option<String> {
        let expectations = std::mem::take(&mut self.expectations);
        let mut message = String::new();
        let mut since = self.total;
        for expectation in expectations {
            let came = self.requests_to(&expectation.endpoint) - expectation.count;
            if came < expectation.least || expectation.most.is_some_and(|most| came > most) {
                // Writing to a `String` cannot fail.
                _ = write!(message, "\n  {}: expected {}, received {came}", expectation.endpoint, expectation.range());
                since = since.min(expectation.total);
            }
        }
        (!message.is_empty()).then(|| format!("request expectations not met:{message}\n{}", self.list(since)))
    }

    /// Lists the requests after the first `since`.
    fn list(&self, since: usize) -> String {
        let came = self.total - since;
        if came == 0 {
            return "no requests were received".to_owned();
        }
        let shown = came.min(MAX_LINES).min(self.kept.len());
        let mut text = if shown < came {
            format!("last {shown} of {came} received requests:")
        } else {
            "received requests:".to_owned()
        };
        for request in self.kept.iter().skip(self.kept.len() - shown) {
            // Writing to a `String` cannot fail.
            _ = write!(text, "\n  {request}");
        }
        text
    }
}

impl Expectation {
    fn range(&self) -> String {
        match (self.least, self.most) {
            (least, Some(most)) if least == most => format!("{least}"),
            (0, Some(most)) => format!("at most {most}"),
            (least, Some(most)) => format!("{least} to {most}"),
            (least, None) => format!("at least {least}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exchange::{Fields, Request};

    fn come(ledger: &mut RequestLog, endpoint: &MockEndpoint, form: &str) {
        let path = "/v1/access_token";
        ledger.count(Some(endpoint), path);
        let form = Some(Fields::parse(form.as_bytes()));
        let request = Request { method: "POST".into(), path: path.into(), form, ..Request::default() };
        ledger.keep(|shows| MockRequest::new(&request, Some(endpoint.clone()), shows).ended(Some(200), None));
    }

    #[test]
    fn all_requests_are_counted_and_last_1024_recorded() {
        let mut ledger = RequestLog { recording: Recording::Redacted, ..RequestLog::default() };
        for number in 0..1_000_000 {
            ledger.count(Some(&MockEndpoint::Refresh), &format!("/{number}"));
            ledger.keep(|shows| MockRequest::new(&Request::default(), Some(MockEndpoint::Refresh), shows));
        }
        assert_eq!(
            (ledger.requests_to(&MockEndpoint::Token), ledger.requests_to(&MockEndpoint::Any)),
            (1_000_000, 1_000_000)
        );
        assert_eq!((ledger.kept.len(), ledger.paths.len()), (MAX_REQUESTS, MAX_PATHS));
    }

    #[test]
    fn request_is_not_recorded_by_default() {
        let mut ledger = RequestLog::default();
        come(&mut ledger, &MockEndpoint::Refresh, "refresh_token=x");
        assert_eq!((ledger.kept.len(), ledger.requests_to(&MockEndpoint::Refresh)), (0, 1));
    }

    #[test]
    fn unmet_expectations_list_redacted_requests_once() {
        let mut ledger = RequestLog::default();
        come(&mut ledger, &MockEndpoint::Refresh, "refresh_token=before");
        ledger.expect(MockEndpoint::Refresh, 1, Some(1));
        ledger.expect(MockEndpoint::Exchange, 0, Some(0));
        ledger.expect(MockEndpoint::Jwks, 2, None);
        come(&mut ledger, &MockEndpoint::Exchange, "grant_type=authorization_code&code=s3cret&client_id=C1");
        assert_eq!(
            ledger.unmet().unwrap(),
            "request expectations not met:\
             \n  MockEndpoint::Refresh: expected 1, received 0\
             \n  MockEndpoint::Exchange: expected 0, received 1\
             \n  MockEndpoint::Jwks: expected at least 2, received 0\
             \nreceived requests:\
             \n  POST /v1/access_token grant_type=authorization_code code=[redacted] client_id=C1 -> 200"
        );
        assert_eq!(ledger.unmet(), None, "an expectation is checked only once");
    }

    #[test]
    fn long_request_list_is_truncated_and_empty_list_is_reported() {
        let mut ledger = RequestLog::default();
        ledger.expect(MockEndpoint::Refresh, 0, Some(20));
        for _ in 0..21 {
            come(&mut ledger, &MockEndpoint::Refresh, "");
        }
        let message = ledger.unmet().unwrap();
        assert!(message.contains("expected at most 20, received 21\nlast 20 of 21 received requests:\n"), "{message}");
        ledger.expect(MockEndpoint::Refresh, 1, None);
        assert!(ledger.unmet().unwrap().ends_with("at least 1, received 0\nno requests were received"));
    }
}
