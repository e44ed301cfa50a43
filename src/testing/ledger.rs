//! What has come to the mock, counted and, on demand, kept.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;

use crate::testing::endpoint::MockEndpoint;
use crate::testing::request::{MockRequest, hash};

/// How many requests are kept; the oldest go first.
pub(super) const MOST_REQUESTS: usize = 1024;
/// How many paths are counted; a mock with more of them is asked for ids, not for places.
const MOST_PATHS: usize = 1024;
/// How many requests the message of a failed expectation lists.
const MOST_LINES: usize = 20;

/// Whether requests are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Recording {
    #[default]
    Off,
    Redacted,
    WithSecrets,
}

/// All that has come.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) recording: Recording,
    pub(super) followed_redirects: usize,
    total: usize,
    places: HashMap<MockEndpoint, usize>,
    /// By [`hash`], since a path may be long.
    paths: HashMap<u64, usize>,
    kept: VecDeque<MockRequest>,
    expectations: Vec<Expectation>,
}

/// How many requests are expected.
struct Expectation {
    endpoint: MockEndpoint,
    least: usize,
    most: Option<usize>,
    /// What had come before.
    count: usize,
    total: usize,
}

impl Ledger {
    /// A request has come.
    pub(super) fn count(&mut self, place: Option<&MockEndpoint>, path: &str) {
        self.total += 1;
        if let Some(place) = place {
            *self.places.entry(place.clone()).or_default() += 1;
        }
        let path = hash(path);
        if let Some(count) = self.paths.get_mut(&path) {
            *count += 1;
        } else if self.paths.len() < MOST_PATHS {
            self.paths.insert(path, 1);
        }
    }

    /// Keeps a request, if requests are kept.
    pub(super) fn keep(&mut self, request: impl FnOnce(bool) -> MockRequest) {
        if self.recording == Recording::Off {
            return;
        }
        if self.kept.len() == MOST_REQUESTS {
            self.kept.pop_front();
        }
        self.kept.push_back(request(self.recording == Recording::WithSecrets));
    }

    /// How many requests have come to a place.
    pub(super) fn requests_to(&self, endpoint: &MockEndpoint) -> usize {
        let at = |place: &MockEndpoint| self.places.get(place).copied().unwrap_or_default();
        match endpoint {
            MockEndpoint::Any => self.total,
            MockEndpoint::Path(path) => self.paths.get(&hash(path)).copied().unwrap_or_default(),
            MockEndpoint::Token => at(endpoint) + at(&MockEndpoint::Exchange) + at(&MockEndpoint::Refresh),
            _ => at(endpoint),
        }
    }

    /// The requests to a place that were kept, the oldest first.
    pub(super) fn received(&self, endpoint: &MockEndpoint) -> Vec<MockRequest> {
        let covered = |request: &&MockRequest| match endpoint {
            MockEndpoint::Path(path) => request.path_hash == hash(path),
            // Of these, none looks at the path.
            _ => endpoint.covers(request.endpoint(), ""),
        };
        self.kept.iter().filter(covered).cloned().collect()
    }

    /// Expects so many requests from now on, and keeps what comes so that it can be shown.
    pub(super) fn expect(&mut self, endpoint: MockEndpoint, least: usize, most: Option<usize>) {
        if self.recording == Recording::Off {
            self.recording = Recording::Redacted;
        }
        let count = self.requests_to(&endpoint);
        self.expectations.push(Expectation { endpoint, least, most, count, total: self.total });
    }

    /// What is to be said of expectations that were not met. They are asked for once.
    pub(super) fn unmet(&mut self) -> Option<String> {
        let expectations = std::mem::take(&mut self.expectations);
        let mut message = String::new();
        let mut since = self.total;
        for expectation in expectations {
            let came = self.requests_to(&expectation.endpoint) - expectation.count;
            if came < expectation.least || expectation.most.is_some_and(|most| came > most) {
                // Writing to a `String` cannot fail.
                _ = write!(
                    message,
                    "\n  to {}: expected {}, and {came} came",
                    expectation.endpoint,
                    expectation.range()
                );
                since = since.min(expectation.total);
            }
        }
        (!message.is_empty()).then(|| format!("the mock was not asked as expected{message}\n{}", self.list(since)))
    }

    /// What came after the first `since` requests.
    fn list(&self, since: usize) -> String {
        let came = self.total - since;
        if came == 0 {
            return "nothing came at all".to_owned();
        }
        let shown = came.min(MOST_LINES).min(self.kept.len());
        let mut text =
            if shown < came { format!("the last {shown} of {came} that came:") } else { "what came:".to_owned() };
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

    fn come(ledger: &mut Ledger, endpoint: &MockEndpoint, form: &str) {
        let path = "/v1/access_token";
        ledger.count(Some(endpoint), path);
        let form = Some(Fields::parse(form.as_bytes()));
        let request = Request { method: "POST".into(), path: path.into(), form, ..Request::default() };
        ledger.keep(|shows| MockRequest::new(&request, Some(endpoint.clone()), shows).ended(Some(200), None));
    }

    #[test]
    fn a_million_requests_are_counted_and_the_last_1024_kept() {
        let mut ledger = Ledger { recording: Recording::Redacted, ..Ledger::default() };
        for number in 0..1_000_000 {
            ledger.count(Some(&MockEndpoint::Refresh), &format!("/{number}"));
            ledger.keep(|shows| MockRequest::new(&Request::default(), Some(MockEndpoint::Refresh), shows));
        }
        assert_eq!(
            (ledger.requests_to(&MockEndpoint::Token), ledger.requests_to(&MockEndpoint::Any)),
            (1_000_000, 1_000_000)
        );
        assert_eq!((ledger.kept.len(), ledger.paths.len()), (MOST_REQUESTS, MOST_PATHS));
    }

    #[test]
    fn nothing_is_kept_unless_it_is_wanted() {
        let mut ledger = Ledger::default();
        come(&mut ledger, &MockEndpoint::Refresh, "refresh_token=x");
        assert_eq!((ledger.kept.len(), ledger.requests_to(&MockEndpoint::Refresh)), (0, 1));
    }

    #[test]
    fn what_was_not_met_is_said_with_what_came_instead_and_without_its_secrets() {
        let mut ledger = Ledger::default();
        come(&mut ledger, &MockEndpoint::Refresh, "refresh_token=before");
        ledger.expect(MockEndpoint::Refresh, 1, Some(1));
        ledger.expect(MockEndpoint::Exchange, 0, Some(0));
        ledger.expect(MockEndpoint::Keys, 2, None);
        come(&mut ledger, &MockEndpoint::Exchange, "grant_type=authorization_code&code=s3cret&client_id=C1");
        assert_eq!(
            ledger.unmet().unwrap(),
            "the mock was not asked as expected\
             \n  to MockEndpoint::Refresh: expected 1, and 0 came\
             \n  to MockEndpoint::Exchange: expected 0, and 1 came\
             \n  to MockEndpoint::Keys: expected at least 2, and 0 came\
             \nwhat came:\
             \n  POST /v1/access_token grant_type=authorization_code code=[redacted] client_id=C1 -> 200"
        );
        assert_eq!(ledger.unmet(), None, "it is asked for once");
    }

    #[test]
    fn a_long_list_is_cut_and_an_empty_one_says_so() {
        let mut ledger = Ledger::default();
        ledger.expect(MockEndpoint::Refresh, 0, Some(20));
        for _ in 0..21 {
            come(&mut ledger, &MockEndpoint::Refresh, "");
        }
        let message = ledger.unmet().unwrap();
        assert!(message.contains("expected at most 20, and 21 came\nthe last 20 of 21 that came:\n"), "{message}");
        ledger.expect(MockEndpoint::Refresh, 1, None);
        assert!(ledger.unmet().unwrap().ends_with("at least 1, and 0 came\nnothing came at all"));
    }
}
