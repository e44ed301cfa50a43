//! Faults in the links between the pages of a list.

/// A fault in the links to the next page of a resource, for
/// [`MockResource::link_fault`](crate::testing::MockResource::link_fault).
///
/// `NullMax` and `MissingFilters` were observed in Webex's responses
/// (<https://github.com/WebexCommunity/WebexPythonSDK/issues/168>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkFault {
    /// The link contains `max=null`, which results in a 400. A client must remove it.
    NullMax,
    /// The link contains only the cursor and `max`. Without the filters of the first request, the
    /// next page contains other items, or the request is rejected. A client must add them.
    MissingFilters,
    /// Each link refers to its own page. A client that follows it never reaches the end.
    SamePage,
    /// The link refers to another host. A client that follows it sends the access token to a third
    /// party.
    OtherHost,
}

/// The origin of a link with [`LinkFault::OtherHost`]. No host has a name in this domain (RFC 2606,
/// section 2).
const OTHER_ORIGIN: &str = "https://webex.invalid";

/// A link to the next page, before it is formatted.
pub(crate) struct NextLink {
    pub(crate) origin: String,
    pub(crate) path: String,
    pub(crate) parameters: Vec<(String, String)>,
    /// The cursor of the current page, if it has one.
    pub(crate) current: Option<String>,
    pub(crate) cursor: String,
}

impl NextLink {
    /// Applies a fault.
    pub(crate) fn with_fault(mut self, fault: Option<LinkFault>) -> Self {
        match fault {
            None => {}
            Some(LinkFault::NullMax) => {
                self.parameters.retain(|(name, _)| name != "max");
                self.parameters.push(("max".to_owned(), "null".to_owned()));
            }
            Some(LinkFault::MissingFilters) => self.parameters.retain(|(name, _)| name == "max"),
            Some(LinkFault::SamePage) => {
                let cursor = self.current.take();
                self.cursor = cursor.unwrap_or_default();
            }
            Some(LinkFault::OtherHost) => OTHER_ORIGIN.clone_into(&mut self.origin),
        }
        self
    }

    /// Returns the value of the `Link` header (RFC 8288).
    pub(crate) fn header(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.parameters);
        if !self.cursor.is_empty() {
            query.append_pair("cursor", &self.cursor);
        }
        format!("<{}{}?{}>; rel=\"next\"", self.origin, self.path, query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_fault_changes_next_link() {
        for (fault, expected) in [
            (None, "<http://a/v1/rooms?type=group&max=2&cursor=c2>; rel=\"next\""),
            (Some(LinkFault::NullMax), "<http://a/v1/rooms?type=group&max=null&cursor=c2>; rel=\"next\""),
            (Some(LinkFault::MissingFilters), "<http://a/v1/rooms?max=2&cursor=c2>; rel=\"next\""),
            (Some(LinkFault::SamePage), "<http://a/v1/rooms?type=group&max=2&cursor=c1>; rel=\"next\""),
            (Some(LinkFault::OtherHost), "<https://webex.invalid/v1/rooms?type=group&max=2&cursor=c2>; rel=\"next\""),
        ] {
            let link = NextLink {
                origin: "http://a".to_owned(),
                path: "/v1/rooms".to_owned(),
                parameters: [("type", "group"), ("max", "2")].map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
                current: Some("c1".to_owned()),
                cursor: "c2".to_owned(),
            };
            assert_eq!(link.with_fault(fault).header(), expected, "{fault:?}");
        }
    }
}
