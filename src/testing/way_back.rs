//! The way back to the application: the redirect URI, and in which part of it the answer stands.

use crate::testing::callback_fault::{CallbackFault, Parameters};
use crate::testing::exchange::Fields;
use crate::testing::response_type::ResponseType;

/// Where a browser is sent with an answer, and with the state that came with the question.
#[derive(Clone)]
pub(super) struct WayBack {
    redirect_uri: String,
    state: Option<String>,
    is_fragment: bool,
}

impl WayBack {
    pub(super) fn new(redirect_uri: String, query: &Fields) -> Self {
        let is_fragment = query.get("response_type").is_some_and(ResponseType::uses_fragment);
        Self { redirect_uri, state: query.get("state").map(str::to_owned), is_fragment }
    }

    /// The redirect URI, every byte of which stays as it is, with an answer.
    pub(super) fn with(self, parameters: Parameters) -> String {
        self.with_fault(parameters, None, "")
    }

    /// The same, with what is wrong with it. `issuer` is who answers.
    pub(super) fn with_fault(self, mut parameters: Parameters, fault: Option<CallbackFault>, issuer: &str) -> String {
        parameters.extend(self.state.map(|state| ("state", state)));
        if let Some(fault) = fault {
            fault.spoil(&mut parameters, issuer);
        }
        let answer = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let separator = match (self.is_fragment, self.redirect_uri.contains('?')) {
            (true, _) => '#',
            (false, true) => '&',
            (false, false) => '?',
        };
        format!("{}{separator}{answer}", self.redirect_uri)
    }
}
