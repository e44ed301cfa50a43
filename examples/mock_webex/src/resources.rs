//! Resources of the REST API, from control commands.

use serde::Deserialize;
use serde_json::Value;
use webex_oauth::testing::{LinkFault, MockWebex};

use crate::named_faults::find_fault;

/// The command `resource`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceCommand {
    path: String,
    json: Value,
    /// The only user to whom the resource belongs. By default, all users share it.
    user: Option<String>,
    requires: Option<String>,
    requires_to_write: Option<String>,
    requires_parameter: Option<String>,
    page_size: Option<usize>,
    link_fault: Option<String>,
}

const LINK_FAULTS: &[LinkFault] =
    &[LinkFault::NullMax, LinkFault::MissingFilters, LinkFault::SamePage, LinkFault::OtherHost];

impl ResourceCommand {
    /// Adds the resource, or replaces the one at the same path.
    pub(crate) fn apply_to(self, mock: &MockWebex) -> Result<(), String> {
        // An invalid command adds nothing.
        let link_fault = self.link_fault.as_deref().map(|name| find_fault(LINK_FAULTS, name)).transpose()?;
        if self.page_size == Some(0) {
            return Err("invalid page size 0: use at least 1".to_owned());
        }
        let mut resource = match self.user {
            Some(user) => mock.resource_for(user, self.path, self.json),
            None => mock.resource(self.path, self.json),
        };
        if let Some(scopes) = self.requires {
            resource = resource.requires(scopes);
        }
        if let Some(scopes) = self.requires_to_write {
            resource = resource.requires_to_write(scopes);
        }
        if let Some(name) = self.requires_parameter {
            resource = resource.requires_parameter(name);
        }
        if let Some(max) = self.page_size {
            resource = resource.page_size(max);
        }
        if let Some(fault) = link_fault {
            resource.link_fault(fault);
        }
        Ok(())
    }
}
