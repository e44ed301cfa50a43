//! What a login may do: scopes, one and many.
//!
//! - [`Scope`] and [`Scopes`] are what applications ask for, and what Webex grants.
//! - `user`, `meeting`, `admin`, `compliance`, `identity` and `product` (inside) name the scopes that Webex documents, by
//!   who may use them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::value_check::{self, Characters};

/// Names scopes as constants of [`Scope`], and lists them for the tests and for the pages of `testing`.
macro_rules! scopes {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal;)*) => {
        impl Scope {
            $($(#[doc = $doc])* pub const $name: Self = Self(std::borrow::Cow::Borrowed($text));)*
        }

        #[cfg(feature = "testing")]
        pub(super) const DESCRIBED: &[(&str, &str)] = &[$(($text, concat!($($doc),*))),*];

        #[cfg(test)]
        pub(super) const NAMED: &[(&str, Scope)] = &[$((stringify!($name), Scope::$name)),*];
    };
}

mod user;
mod meeting;
mod admin;
mod compliance;
mod identity;
mod product;

/// One scope (RFC 6749 section 3.3), such as `spark:all`.
///
/// The constants name those that Webex documents and say in short what each grants; Webex's own words, and new scopes, are
/// at <https://developer.webex.com/docs/integration-scopes>. Since Webex adds new ones, any other text of visible ASCII
/// characters is a scope too, unless it has a quotation mark, a bracket (except round ones) or one of `\`, `,`, `+`, `%`,
/// `&`, `=`, `?` or `://`, which are signs of a list, a query or a URL.
///
/// Each scope must be registered with the integration by its own name: `spark:all` covers no other. A scope makes nobody
/// what they are not: those of administrators are of use only where an administrator logs in.
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
pub struct Scope(Cow<'static, str>);

impl Scope {
    /// The scope as it is written in a request.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "testing")]
impl Scope {
    /// What it grants, in a sentence for people, if it is one of the constants: the first of their documentation.
    pub(crate) fn summary(&self) -> Option<String> {
        let families = [
            user::DESCRIBED,
            meeting::DESCRIBED,
            admin::DESCRIBED,
            compliance::DESCRIBED,
            identity::DESCRIBED,
            product::DESCRIBED,
        ];
        let (_, text) = families.into_iter().flatten().find(|(name, _)| *name == self.as_str())?;
        let sentence = text.trim().split(". ").next().unwrap_or_default().trim_end_matches('.');
        // A remark that refers to another constant is for developers.
        let remark = sentence.split_once('[').and_then(|(before, _)| before.rsplit_once(": "));
        Some(remark.map_or(sentence, |(before, _)| before).replace('`', ""))
    }
}

impl FromStr for Scope {
    type Err = Error;

    /// Reads one scope.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when the text is empty or has a character that a scope cannot have. The message says how to
    /// read a list or a URL.
    fn from_str(text: &str) -> Result<Self> {
        let is_scope = is_scope(text) && value_check::problem(text, Characters::Word).is_none();
        if is_scope { Ok(Self(Cow::Owned(text.to_owned()))) } else { Err(no_scope(text)) }
    }
}

/// What a developer is told who reads `invalid_scope`.
pub(crate) const REFUSED: &str = "webex refused the scopes: ask for at least one, and register each by its own name with \
                                  the integration at developer.webex.com, where `spark:all` does not cover the others";

/// What no scope of Webex's has; a text with one of them is a list, a query or a URL, or was copied with its quotes.
const FOREIGN: &[u8] = b"\"'`<>[]{}\\,+%&=?";

fn is_scope(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !FOREIGN.contains(&byte));
    !text.is_empty() && is_plain && !text.contains("://")
}

/// Why a text is no scope, without the text: nobody knows what was pasted.
fn no_scope(text: &str) -> Error {
    let message: Cow<'static, str> = if text.contains(['&', '=', '?']) || text.contains("://") {
        "a URL or a query stands where scopes belong: copy what follows its `scope=`, or let \
         `Scopes::from_authorization_url(..)` do it"
            .into()
    } else if text.contains([',', '+', '%', ' ']) {
        "several scopes, or encoded ones, stand where one belongs: parse them as `Scopes`".into()
    } else if let Some(why) = value_check::problem(text, Characters::Word) {
        format!("the scope {why}; a scope is written like spark:all").into()
    } else {
        "a scope must be one or more visible ASCII characters without brackets, such as spark:all".into()
    };
    Error::new(ErrorKind::InvalidInput, message)
}

/// What stands between scopes; a form writes a space as `+`.
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

/// A set of scopes, in the order in which they were written, without repetitions.
///
/// Comparing two sets ignores the order: Webex answers in an order of its own. Clones are cheap and share the list.
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
    /// No scope at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the scopes out of an authorization URL, such as the one that the developer portal shows for an integration.
    ///
    /// The query alone, or its `scope=` part, will do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when there is no `scope` in it, or more than one, or when one of the scopes has a character
    /// that a scope cannot have.
    ///
    /// # Example
    ///
    /// ```
    /// use webex_oauth::Scopes;
    ///
    /// let url = "https://webexapis.com/v1/authorize?client_id=C1&response_type=code&scope=spark%3Aall%20spark%3Akms&state=x";
    /// assert_eq!(Scopes::from_authorization_url(url)?.to_string(), "spark:all spark:kms");
    /// # Ok::<(), webex_oauth::Error>(())
    /// ```
    pub fn from_authorization_url(url: impl AsRef<str>) -> Result<Self> {
        let url = url.as_ref().trim();
        let url = url.split_once('#').map_or(url, |(before, _)| before);
        let query = url.split_once('?').map_or(url, |(_, query)| query);
        let mut found = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "scope");
        let scopes = match (found.next(), found.next()) {
            (Some(_), Some(_)) => return Err(Error::new(ErrorKind::InvalidInput, "the URL has more than one `scope`")),
            (Some((_, scopes)), None) => Self::from_decoded(&scopes)?,
            (None, _) => Self::new(),
        };
        if scopes.is_empty() {
            let message = "the URL has no scopes: copy all of it, with the part that begins with `scope=`";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(scopes)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether exactly this scope is among them; `spark:all` contains no other.
    pub fn contains(&self, scope: impl AsRef<str>) -> bool {
        self.0.iter().any(|own| own.as_str() == scope.as_ref())
    }

    /// The scopes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Scope> {
        self.0.iter()
    }

    /// The scopes of this set that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let others = other.names();
        Self(Arc::new(self.0.iter().filter(|scope| !others.contains(scope.as_str())).cloned().collect()))
    }

    /// Adds one, unless it is there already.
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

    /// What a server wrote: separated by spaces, commas or `+`; what no scope can be is left out.
    pub(crate) fn from_server(text: &str) -> Self {
        text.split(is_separator).filter_map(|part| part.parse().ok()).collect()
    }
}

impl FromStr for Scopes {
    type Err = Error;

    /// Reads scopes separated by white space, commas or `+`. They may be percent-encoded, as a URL has them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when one of them has a character that a scope cannot have, and for a whole URL, which
    /// [`from_authorization_url`](Self::from_authorization_url) reads.
    fn from_str(text: &str) -> Result<Self> {
        value_check::check(ErrorKind::InvalidInput, "list of scopes", text, Characters::List)?;
        if text.contains(['&', '=', '?']) || text.contains("://") {
            return Err(no_scope(text));
        }
        Self::from_decoded(&percent_decoded(text))
    }
}

/// A text without `&` and `=` is a form of one name and no value.
fn percent_decoded(text: &str) -> Cow<'_, str> {
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

/// Takes out repetitions: once for all, since a server may write a hundred thousand scopes.
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
    /// The form of requests and answers: separated by one space.
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

    /// The names of all scopes that Webex documents: in a family, separated by spaces.
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

    fn named() -> Vec<(&'static str, Scope)> {
        [user::NAMED, meeting::NAMED, admin::NAMED, compliance::NAMED, identity::NAMED, product::NAMED].concat()
    }

    #[cfg(feature = "testing")]
    #[test]
    fn each_constant_can_be_described_to_people() {
        for (name, scope) in named() {
            let summary = scope.summary().unwrap();
            assert!(!summary.is_empty() && !summary.contains(['[', '`', '\n']), "{name}: {summary}");
        }
        let summary = |text: &str| text.parse::<Scope>().unwrap().summary();
        assert_eq!(summary("spark:all").unwrap(), "Everything that a user can do: all user-level spark: scopes");
        assert_eq!(summary("Identity:contact").unwrap(), "The organization's contacts, spelled with a capital");
        assert_eq!(summary("spark:what_is_this"), None);
    }

    #[test]
    fn the_constants_are_the_documented_scopes_each_once() {
        let families = DOCUMENTED.iter();
        let mut documented: Vec<_> = families
            .flat_map(|(family, names)| names.split_whitespace().map(move |name| format!("{family}{name}")))
            .collect();
        let mut constants: Vec<_> = named().into_iter().map(|(_, scope)| scope.to_string()).collect();
        documented.sort_unstable();
        constants.sort_unstable();
        assert_eq!(constants, documented);
    }

    #[test]
    fn each_constant_is_legal_and_named_after_its_scope() {
        for (name, scope) in named() {
            assert_eq!(scope.as_str().parse::<Scope>().unwrap(), scope);
            let capital = if scope.as_str().starts_with("Identity:") { "CAPITAL_" } else { "" };
            let expected = format!("{capital}{}", scope.as_str().to_uppercase().replace([':', '-'], "_"));
            assert_eq!(name, expected);
        }
    }

    #[test]
    fn scopes_keep_their_order_lose_repetitions_and_compare_as_sets() {
        let scopes: Scopes = " spark:kms,\tspark:all  spark:kms ".parse().unwrap();
        assert_eq!(scopes.to_string(), "spark:kms spark:all");
        assert_eq!(scopes, "spark:all spark:kms".parse().unwrap());
        assert_ne!(scopes, "spark:all".parse().unwrap());
    }

    #[test]
    fn copies_share_one_list_until_one_of_them_is_changed() {
        let own: Scopes = "spark:all spark:kms".parse().unwrap();
        let mut copy = own.clone();
        assert!(Arc::ptr_eq(&own.0, &copy.0), "a login that begins copies no scope");
        copy.insert(Scope::SPARK_KMS);
        assert!(Arc::ptr_eq(&own.0, &copy.0));
        copy.insert(Scope::SPARK_ROOMS_READ);
        assert_eq!((own.len(), copy.to_string().as_str()), (2, "spark:all spark:kms spark:rooms_read"));
    }

    #[test]
    fn a_mebibyte_of_scopes_costs_no_more_than_its_length() {
        let text: String = (0..130_000).map(|number| format!("s{number:06} ")).collect();
        let begun = std::time::Instant::now();
        let scopes: Scopes = text.parse().unwrap();
        assert_eq!((scopes.len(), Scopes::from_server(&text) == scopes), (130_000, true));
        assert!(scopes.without(&scopes).is_empty());
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_list_is_read_however_it_was_written_down() {
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
    fn an_authorization_url_gives_its_scopes() {
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
    fn a_url_without_exactly_one_list_of_scopes_is_refused_with_advice() {
        for (url, advice) in [
            ("", "copy all of it"),
            ("spark:all spark:kms", "copy all of it"),
            ("https://webexapis.com/v1/authorize", "copy all of it"),
            ("https://webexapis.com/v1/authorize?scope=&x=y", "copy all of it"),
            ("https://webexapis.com/v1/authorize?scope=%20,%20", "copy all of it"),
            ("https://webexapis.com/v1/authorize#scope=spark:all", "copy all of it"),
            ("https://webexapis.com/v1/authorize?scope=spark:all&scope=spark:kms", "more than one"),
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
    fn what_is_no_scope_is_refused_with_advice() {
        for (bad, advice) in [
            ("", "such as spark:all"),
            ("umläut", "not ASCII: copy it again; a scope is written like spark:all"),
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
            ("'spark:all spark:kms'", "the list of scopes is in quotation marks: leave them out"),
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
        let asked: Scopes = "spark:all spark:people_read".parse().unwrap();
        assert_eq!(asked.without(&granted).to_string(), "spark:people_read");
    }
}
