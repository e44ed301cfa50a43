//! Scopes and lists of scopes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::value_check::{self, Characters};

/// A scope (RFC 6749, section 3.3), such as `spark:all`.
///
/// The constants are the scopes that Webex documents. For the full descriptions and for new scopes,
/// see <https://developer.webex.com/docs/integration-scopes>. Any other string of visible ASCII
/// characters is also a valid scope, because Webex adds new ones. It must not contain quotation
/// marks, brackets (except parentheses), `\`, `,`, `+`, `%`, `&`, `=`, `?`, or `://`, which
/// indicate a list, a query, or a URL.
///
/// Register every scope with the integration individually: `spark:all` does not include any other
/// scope. A scope does not extend the user's rights. The scopes for administrators are only
/// effective if an administrator logs in.
///
/// # Example
///
/// ```
/// use webex_oauth::Scope;
///
/// assert_eq!(Scope::SPARK_ALL.as_str(), "spark:all");
/// let rooms: Scope = "spark:rooms_read".parse()?;
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(pub(crate) Cow<'static, str>);

impl Scope {
    /// Returns the scope as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = Error;

    /// Parses a single scope.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: `text` is empty or contains an invalid character. The message
    ///   explains how to parse a list or a URL.
    fn from_str(text: &str) -> Result<Self> {
        let is_scope = is_scope(text) && value_check::value_problem(text, Characters::Word).is_none();
        if is_scope { Ok(Self(Cow::Owned(text.to_owned()))) } else { Err(invalid_scope_error(text)) }
    }
}

/// The explanation of the error code `invalid_scope`.
pub(crate) const INVALID_SCOPE_MESSAGE: &str = "scopes rejected by Webex: request at least one, and register each individually with \
                                  the integration at developer.webex.com (`spark:all` does not include other scopes)";

/// Characters that occur in lists, queries, URLs, and quoted strings, but not in Webex scopes.
const EXCLUDED_CHARACTERS: &[u8] = b"\"'`<>[]{}\\,+%&=?";

fn is_scope(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !EXCLUDED_CHARACTERS.contains(&byte));
    !text.is_empty() && is_plain && !text.contains("://")
}

/// Returns the error for an invalid scope. The message does not quote the text, which may be a
/// secret.
fn invalid_scope_error(text: &str) -> Error {
    let message: Cow<'static, str> = if text.contains(['&', '=', '?']) || text.contains("://") {
        "invalid scope: found a URL or a query; use the value of its `scope` parameter, or call \
         `Scopes::from_authorization_url(..)`"
            .into()
    } else if text.contains([',', '+', '%', ' ']) {
        "invalid scope: found a list or an encoded scope; parse it as `Scopes`".into()
    } else if let Some(why) = value_check::value_problem(text, Characters::Word) {
        format!("scope {why}; a valid scope is spark:all").into()
    } else {
        "invalid scope: use one or more visible ASCII characters without brackets, such as spark:all".into()
    };
    Error::new(ErrorKind::InvalidInput, message)
}

/// Returns `true` for separators of scopes. A form encodes a space as `+`.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || c == ',' || c == '+'
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl AsRef<str> for Scope {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A set of scopes without duplicates that preserves the insertion order.
///
/// Comparisons ignore the order, because Webex returns scopes in any order. Cloning is cheap:
/// clones share the list.
///
/// # Example
///
/// ```
/// use webex_oauth::{Scope, Scopes};
///
/// let scopes: Scopes = "spark:all spark:kms".parse()?;
/// assert!(scopes.contains("spark:kms"));
/// assert_eq!(scopes, Scopes::from_iter([Scope::SPARK_KMS, Scope::SPARK_ALL]));
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Scopes(Arc<Vec<Scope>>);

impl Scopes {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the scopes from an authorization URL, such as the one that the developer portal
    /// displays for an integration.
    ///
    /// The query alone or its `scope` parameter is also accepted.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the URL has no `scope` parameter or more than one, or a scope
    ///   contains an invalid character.
    ///
    /// # Example
    ///
    /// ```
    /// use webex_oauth::Scopes;
    ///
    /// let url = "https://webexapis.com/v1/authorize?scope=spark%3Aall%20spark%3Akms&state=x";
    /// assert_eq!(Scopes::from_authorization_url(url)?.to_string(), "spark:all spark:kms");
    /// # Ok::<(), webex_oauth::Error>(())
    /// ```
    pub fn from_authorization_url(url: impl AsRef<str>) -> Result<Self> {
        let url = url.as_ref().trim();
        let url = url.split_once('#').map_or(url, |(before, _)| before);
        let query = url.split_once('?').map_or(url, |(_, query)| query);
        let mut found = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "scope");
        let scopes = match (found.next(), found.next()) {
            (Some(_), Some(_)) => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "invalid authorization URL: duplicate parameter `scope`",
                ));
            }
            (Some((_, scopes)), None) => Self::from_decoded(&scopes)?,
            (None, _) => Self::new(),
        };
        if scopes.is_empty() {
            let message = "invalid authorization URL: missing parameter `scope`; copy the complete URL";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(scopes)
    }

    /// Returns `true` if the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of scopes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `true` if the set contains `scope`. `spark:all` does not include other scopes.
    pub fn contains(&self, scope: impl AsRef<str>) -> bool {
        self.0.iter().any(|own| own.as_str() == scope.as_ref())
    }

    /// Returns an iterator over the scopes, in insertion order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Scope> {
        self.0.iter()
    }

    /// Returns the scopes of this set that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let others = other.names();
        Self(Arc::new(self.0.iter().filter(|scope| !others.contains(scope.as_str())).cloned().collect()))
    }

    /// Adds a scope if the set does not contain it.
    pub(crate) fn insert(&mut self, scope: Scope) {
        if !self.contains(&scope) {
            Arc::make_mut(&mut self.0).push(scope);
        }
    }

    fn from_decoded(text: &str) -> Result<Self> {
        text.split(is_separator).filter(|part| !part.is_empty()).map(str::parse).collect()
    }

    fn names(&self) -> HashSet<&str> {
        self.0.iter().map(Scope::as_str).collect()
    }

    /// Parses the scopes in a response, separated by spaces, commas, or `+`. Invalid scopes are
    /// skipped.
    pub(crate) fn from_server(text: &str) -> Self {
        text.split(is_separator).filter_map(|part| part.parse().ok()).collect()
    }
}

impl FromStr for Scopes {
    type Err = Error;

    /// Parses scopes separated by whitespace, commas, or `+`. They may be percent-encoded.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: a scope contains an invalid character, or `text` is a URL.
    ///   For URLs, use [`from_authorization_url`](Self::from_authorization_url).
    fn from_str(text: &str) -> Result<Self> {
        value_check::check_value(ErrorKind::InvalidInput, "list of scopes", text, Characters::List)?;
        if text.contains(['&', '=', '?']) || text.contains("://") {
            return Err(invalid_scope_error(text));
        }
        Self::from_decoded(&decode_form_value(text))
    }
}

/// Decodes percent-encoding. Without `&` and `=`, the form has a single name and no value.
fn decode_form_value(text: &str) -> Cow<'_, str> {
    form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name).unwrap_or_default()
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut set = Self::new();
        set.extend(scopes);
        set
    }
}

impl Extend<Scope> for Scopes {
    fn extend<I: IntoIterator<Item = Scope>>(&mut self, scopes: I) {
        let own = Arc::make_mut(&mut self.0);
        own.extend(scopes);
        deduplicate(own);
    }
}

/// Removes duplicates in linear time, because a server may send a hundred thousand scopes.
fn deduplicate(scopes: &mut Vec<Scope>) {
    let mut seen = HashSet::with_capacity(scopes.len());
    let are_new: Vec<_> = scopes.iter().map(|scope| seen.insert(scope.as_str())).collect();
    let mut are_new = are_new.into_iter();
    scopes.retain(|_| are_new.next().unwrap_or_default());
}

impl PartialEq for Scopes {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.names() == other.names()
    }
}

impl Eq for Scopes {}

impl fmt::Display for Scopes {
    /// Formats the scopes as in requests and responses: separated by a single space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, scope) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&*self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All scopes that Webex documents: a prefix and the names with this prefix.
    const DOCUMENTED: [(&str, &str); 17] = [
        ("", "openid email profile phone address all_read user_modify meeting_modify recording_modify setting_modify"),
        (
            "spark:",
            "all kms people_read people_write rooms_read rooms_write memberships_read memberships_write messages_read \
             messages_write teams_read teams_write team_memberships_read team_memberships_write webhooks_read \
             webhooks_write calls_read calls_write devices_read devices_write places_read places_write xapi_statuses \
             xapi_commands recordings_read recordings_write telephony_config_read telephony_config_write \
             organizations_read xsi webrtc_calling applications_token mcp",
        ),
        (
            "meeting:",
            "schedules_read schedules_write recordings_read recordings_write preferences_read preferences_write \
             controls_read controls_write participants_read participants_write transcripts_read summaries_read \
             summaries_write admin_participants_read admin_schedule_read admin_schedule_write admin_recordings_read \
             admin_recordings_write admin_transcripts_read admin_preferences_read admin_preferences_write \
             admin_config_read admin_config_write",
        ),
        (
            "spark-admin:",
            "people_read people_write organizations_read organizations_write licenses_read roles_read \
             resource_groups_read resource_group_memberships_read resource_group_memberships_write messages_read \
             messages_write devices_read devices_write places_read places_write workspaces_read workspaces_write \
             workspace_locations_read workspace_locations_write workspace_metrics_read locations_read locations_write \
             telephony_config_read telephony_config_write telephony_pstn_read telephony_pstn_write calls_read \
             calls_write calling_cdr_read call_qualities_read xsi recordings_read recordings_write reports_read \
             reports_write datasource_read datasource_write hybrid_clusters_read hybrid_connectors_read \
             video_mesh_api_read video_mesh_api_write video_mesh_api_webhook_write broadworks_enterprises_read \
             broadworks_enterprises_write broadworks_subscribers_read broadworks_subscribers_write \
             broadworks_billing_reports_read broadworks_billing_reports_write wholesale_customers_read \
             wholesale_customers_write wholesale_subscribers_read wholesale_subscribers_write \
             wholesale_billing_reports_read wholesale_billing_reports_write wholesale_sub_partners_read \
             wholesale_sub_partners_write wholesale_workspace_write",
        ),
        (
            "spark-compliance:",
            "events_read memberships_read memberships_write messages_read messages_write rooms_read rooms_write \
             teams_read team_memberships_read team_memberships_write webhooks_read webhooks_write recordings_read \
             recordings_write meetings_read meetings_write",
        ),
        (
            "identity:",
            "people_rw people_read groups_rw groups_read organizations_rw organizations_read organization contact \
             tokens_read tokens_write placeonetimepassword_create",
        ),
        ("Identity:", "contact one_time_password Config Organization SCIM"),
        ("analytics:", "read_all"),
        ("audit:", "events_read"),
        ("application:", "webhooks_read webhooks_write"),
        ("guest-issuer:", "read write"),
        ("cjp:", "config config_read config_write user task_read task_write"),
        ("cjds:", "admin_org_read admin_org_write"),
        ("cloud-contact-center:", "pod_conv"),
        ("vidcast:", "recordings_read playlists_read"),
        ("wxc-dedicateduc:", "admin_perfmon_read"),
        ("webexsquare:", "admin"),
    ];

    fn named_scopes() -> Vec<(&'static str, Scope)> {
        crate::scope::constants::NAMED.to_vec()
    }

    #[cfg(feature = "testing")]
    #[test]
    fn each_scope_constant_has_summary() {
        for (name, scope) in named_scopes() {
            let summary = scope.summary().unwrap();
            assert!(!summary.is_empty() && !summary.contains(['[', '`', '\n']), "{name}: {summary}");
        }
        let summary = |text: &str| text.parse::<Scope>().unwrap().summary();
        assert_eq!(summary("spark:all").unwrap(), "Full access on behalf of the user: all user-level spark: scopes");
        assert_eq!(summary("Identity:contact").unwrap(), "Access to the organization's contacts");
        assert_eq!(summary("spark:what_is_this"), None);
    }

    #[test]
    fn scope_constants_match_documented_scopes() {
        let families = DOCUMENTED.iter();
        let mut documented: Vec<_> = families
            .flat_map(|(family, names)| names.split_whitespace().map(move |name| format!("{family}{name}")))
            .collect();
        let mut constants: Vec<_> = named_scopes().into_iter().map(|(_, scope)| scope.to_string()).collect();
        documented.sort_unstable();
        constants.sort_unstable();
        assert_eq!(constants, documented);
    }

    #[test]
    fn each_scope_constant_is_valid_and_named_after_scope() {
        for (name, scope) in named_scopes() {
            assert_eq!(scope.as_str().parse::<Scope>().unwrap(), scope);
            let capital = if scope.as_str().starts_with("Identity:") { "CAPITAL_" } else { "" };
            let expected = format!("{capital}{}", scope.as_str().to_uppercase().replace([':', '-'], "_"));
            assert_eq!(name, expected);
        }
    }

    #[test]
    fn scopes_keep_order_drop_duplicates_and_compare_as_sets() {
        let scopes: Scopes = " spark:kms,\tspark:all  spark:kms ".parse().unwrap();
        assert_eq!(scopes.to_string(), "spark:kms spark:all");
        assert_eq!(scopes, "spark:all spark:kms".parse().unwrap());
        assert_ne!(scopes, "spark:all".parse().unwrap());
    }

    #[test]
    fn cloned_scopes_share_list_until_changed() {
        let own: Scopes = "spark:all spark:kms".parse().unwrap();
        let mut copy = own.clone();
        assert!(Arc::ptr_eq(&own.0, &copy.0), "beginning a login must not copy the scopes");
        copy.insert(Scope::SPARK_KMS);
        assert!(Arc::ptr_eq(&own.0, &copy.0));
        copy.insert(Scope::SPARK_ROOMS_READ);
        assert_eq!((own.len(), copy.to_string().as_str()), (2, "spark:all spark:kms spark:rooms_read"));
    }

    #[test]
    fn large_scope_list_is_processed_in_bounded_time() {
        let text: String = (0..130_000).map(|number| format!("s{number:06} ")).collect();
        let started = std::time::Instant::now();
        let scopes: Scopes = text.parse().unwrap();
        assert_eq!((scopes.len(), Scopes::from_server(&text) == scopes), (130_000, true));
        assert!(scopes.without(&scopes).is_empty());
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    }

    #[test]
    fn scope_list_is_parsed_with_any_separator_or_encoding() {
        for text in [
            "spark:all spark:kms",
            "spark:all, spark:kms",
            "spark:all,spark:kms\n",
            "spark:all+spark:kms",
            "spark:all%20spark:kms",
            "spark%3Aall+spark%3akms",
            "spark%3Aall%20%20spark%3Akms%2Cspark:kms",
        ] {
            assert_eq!(text.parse::<Scopes>().unwrap().to_string(), "spark:all spark:kms", "{text:?}");
        }
        assert_eq!(Scopes::from_server("all_read+user_modify \"x\"").to_string(), "all_read user_modify");
        assert!("".parse::<Scopes>().unwrap().is_empty() && " , + ".parse::<Scopes>().unwrap().is_empty());
    }

    #[test]
    fn scopes_are_parsed_from_authorization_url() {
        for url in [
            "https://webexapis.com/v1/authorize?client_id=C1&scope=spark%3Aall%20spark%3Akms&state=set_state_here",
            "https://webexapis.com/v1/authorize?scope=spark%3Aall+spark%3Akms#x?scope=other",
            "  ?response_type=code&scope=spark:all%20spark:kms\n",
            "scope=spark:all spark:kms",
        ] {
            assert_eq!(Scopes::from_authorization_url(url).unwrap().to_string(), "spark:all spark:kms", "{url}");
        }
    }

    #[test]
    fn url_without_exactly_one_scope_list_is_rejected_with_advice() {
        for (url, advice) in [
            ("", "copy the complete URL"),
            ("spark:all spark:kms", "copy the complete URL"),
            ("https://webexapis.com/v1/authorize", "copy the complete URL"),
            ("https://webexapis.com/v1/authorize?scope=&x=y", "copy the complete URL"),
            ("https://webexapis.com/v1/authorize?scope=%20,%20", "copy the complete URL"),
            ("https://webexapis.com/v1/authorize#scope=spark:all", "copy the complete URL"),
            ("https://webexapis.com/v1/authorize?scope=spark:all&scope=spark:kms", "duplicate"),
            ("https://webexapis.com/v1/authorize?scope=https%3A%2F%2Fhunter2", "URL"),
            ("https://webexapis.com/v1/authorize?scope=a%22hunter2", "quotation mark"),
            ("'https://webexapis.com/v1/authorize?scope=spark%3Aall'", "quotation mark"),
            ("https://webexapis.com/v1/authorize?scope=spark%253Aall", "encoded"),
        ] {
            let error = Scopes::from_authorization_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
            assert!(error.to_string().contains(advice) && !error.to_string().contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn invalid_scope_is_rejected_with_advice() {
        for (bad, advice) in [
            ("", "such as spark:all"),
            ("umläut", "not ASCII: copy it again; a valid scope is spark:all"),
            ("spark:all\r\nX:", "a line break"),
            ("sp\"ark", "a quotation mark"),
            ("'spark:all'", "in quotation marks"),
            ("sp\\ark", "contains \"\\\""),
            ("<spark:all>", "placeholder"),
            ("[spark:all]", "such as spark:all"),
            ("$(scopes)", "placeholder"),
            ("bearer:x", "begins with \"bearer:\""),
            ("a b", "as `Scopes`"),
            ("a,b", "as `Scopes`"),
            ("a+b", "as `Scopes`"),
            ("spark%3Aall", "as `Scopes`"),
            ("scope=spark:all", "from_authorization_url"),
            ("https://webexapis.com", "from_authorization_url"),
        ] {
            let error = bad.parse::<Scope>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(advice), "{bad:?}: {error}");
        }
        for (bad, advice) in [
            ("'spark:all spark:kms'", "list of scopes is in quotation marks: remove them"),
            ("\u{201c}spark:all\u{201d}", "in quotation marks"),
            ("'spark:all', 'spark:kms'", "in quotation marks"),
            ("[\"spark:all\", \"spark:kms\"]", "contains a quotation mark"),
            ("spark:all spark:kms'", "contains a quotation mark"),
            ("%27spark:all%27", "in quotation marks"),
            ("[spark:all, spark:kms]", "without brackets"),
            ("${WEBEX_SCOPES}", "placeholder"),
        ] {
            let error = bad.parse::<Scopes>().unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(advice), "{bad:?}: {error}");
        }
        for bad in ["spark:all \u{7f}", "spark:all %ff", "spark:all %zz", "a%26b", "a%3Db", "x?y", "a://b", "a&b"] {
            assert_eq!(bad.parse::<Scopes>().unwrap_err().kind(), ErrorKind::InvalidInput, "{bad:?}");
        }
    }

    #[test]
    fn spark_all_covers_no_other_scope() {
        let granted: Scopes = "spark:all".parse().unwrap();
        let requested: Scopes = "spark:all spark:people_read".parse().unwrap();
        assert_eq!(requested.without(&granted).to_string(), "spark:people_read");
    }
}
