//! State of the mock: users, integrations, codes, and tokens.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::clock::UnixTime;
use crate::scope::Scopes;
use crate::service::Rotation;
use crate::testing::browser_session::Sessions;
use crate::testing::faults::script::FaultScript;
use crate::testing::model::authorization::{Authorization, Binding, Consent, Consents};
use crate::testing::model::browser::LoginTransactions;
use crate::testing::model::devices::Devices;
use crate::testing::model::resources::Resources;
use crate::testing::request_log::RequestLog;
use crate::testing::signing::SigningKeys;
use crate::testing::token_codec::{self, TokenCodec, TokenContent};

pub(crate) use crate::testing::registry::{Integration, Lifetimes, MockService, MockUser};

/// The lifetime of a code. Webex only documents "short-lived".
const CODE_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The region whose broker is the issuer in the discovery document.
pub(crate) const DISCOVERED_REGION: &str = "b-us";

/// The time and the random source of a step.
pub(crate) struct StepContext<'a> {
    pub(crate) now: UnixTime,
    /// Monotonic time.
    pub(crate) elapsed: Duration,
    pub(crate) random: &'a mut dyn FnMut() -> [u8; 32],
}

/// The content of an authorization code.
pub(crate) struct Code {
    pub(crate) user: usize,
    pub(crate) authorization: Authorization,
    approved: UnixTime,
}

/// A user's consent to an integration: a refresh token and the access tokens issued from it.
pub(crate) struct Grant {
    pub(crate) user: usize,
    pub(crate) integration: usize,
    pub(crate) refresh_token: String,
    pub(crate) expires: UnixTime,
    pub(crate) scopes: Scopes,
    /// The time of the latest sign-in, which coincides with each consent.
    pub(crate) auth_time: UnixTime,
    /// The bindings of all logins. Webex Meetings requires them again with each refresh.
    pub(crate) bindings: Vec<Binding>,
}

impl From<Code> for Consent {
    fn from(code: Code) -> Self {
        let auth_time = code.authorization.signed_in_at(code.approved);
        let Authorization { integration, binding, scopes, .. } = code.authorization;
        Self { user: code.user, integration, scopes, auth_time, binding: Some(binding) }
    }
}

/// The user, scopes, and expiry of a valid access token.
pub(crate) struct Bearer<'a> {
    pub(crate) user: &'a MockUser,
    pub(crate) user_index: usize,
    pub(crate) scopes: &'a Scopes,
    pub(crate) expires: UnixTime,
    serial: u64,
}

/// The complete state of the mock.
pub(crate) struct State {
    pub(crate) service: MockService,
    /// The origin: `http://127.0.0.1:<port>`.
    pub(crate) origin: String,
    pub(crate) users: Vec<MockUser>,
    pub(crate) integrations: Vec<Integration>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) rotation_policy: RotationPolicy,
    pub(crate) is_denied_by_administrator: bool,
    pub(crate) keys: SigningKeys,
    /// `true` if ID tokens contain the hash of the access token.
    pub(crate) writes_at_hash: bool,
    pub(crate) sessions: Sessions,
    pub(crate) devices: Devices,
    pub(crate) fault_script: FaultScript,
    pub(crate) request_log: RequestLog,
    pub(crate) resources: Resources,
    pub(crate) spent_tokens: SpentTokens,
    pub(crate) self_contained: SelfContained,
    pub(crate) transactions: LoginTransactions,
    pub(crate) consents: Consents,
    /// The number of granted exchanges by user.
    pub(crate) granted_exchanges: HashMap<usize, usize>,
    pub(crate) granted_refreshes: HashMap<usize, usize>,
    token_codec: TokenCodec,
    serial: u64,
    codes: HashMap<String, Code>,
    pub(crate) grants: HashMap<u64, Grant>,
    pub(crate) refresh_tokens: HashMap<String, u64>,
    /// The serial numbers of individually revoked access tokens.
    revoked_serials: HashSet<u64>,
    /// The last serial number at the time when all access tokens of a grant were revoked.
    revoked_up_to: HashMap<u64, u64>,
    /// The latest grant of each user and integration.
    logins: HashMap<(usize, usize), u64>,
}

impl State {
    pub(crate) fn new(
        service: MockService,
        origin: String,
        users: Vec<MockUser>,
        integration: Integration,
        lifetimes: Lifetimes,
        random: [u8; 32],
    ) -> Self {
        Self {
            service,
            origin,
            users,
            integrations: vec![integration],
            lifetimes,
            rotation_policy: RotationPolicy::default(),
            is_denied_by_administrator: false,
            keys: SigningKeys::new(),
            writes_at_hash: false,
            sessions: Sessions::default(),
            devices: Devices::default(),
            fault_script: FaultScript::default(),
            request_log: RequestLog::default(),
            // With another secret than that of access tokens, no cursor is a token.
            resources: Resources::new(random.map(|byte| !byte)),
            spent_tokens: SpentTokens::default(),
            self_contained: SelfContained::default(),
            transactions: LoginTransactions::default(),
            consents: Consents::default(),
            granted_exchanges: HashMap::new(),
            granted_refreshes: HashMap::new(),
            token_codec: TokenCodec::new(random),
            serial: 0,
            codes: HashMap::new(),
            grants: HashMap::new(),
            refresh_tokens: HashMap::new(),
            revoked_serials: HashSet::new(),
            revoked_up_to: HashMap::new(),
            logins: HashMap::new(),
        }
    }

    pub(crate) fn integration(&self, client_id: &str) -> Option<usize> {
        self.integrations.iter().position(|integration| integration.client_id == client_id)
    }

    pub(crate) fn user(&self, email: &str) -> Option<usize> {
        self.users.iter().position(|user| user.email().eq_ignore_ascii_case(email))
    }

    /// Returns the identity broker of a region. The empty region is that of users without one.
    pub(crate) fn issuer(&self, region: &str) -> String {
        let separator = if region.is_empty() { "" } else { "-" };
        format!("{}/idb{separator}{region}", self.origin)
    }

    /// Returns the issuer of a user's ID tokens.
    pub(crate) fn issuer_of(&self, user: &MockUser) -> String {
        self.issuer(user.region())
    }

    /// Returns the issuers of ID tokens without duplicates. Empty for Webex Meetings.
    pub(crate) fn issuers(&self) -> Vec<String> {
        let mut issuers = Vec::new();
        for issuer in self.users.iter().map(|user| self.issuer_of(user)) {
            if !self.service.is_meetings() && !issuers.contains(&issuer) {
                issuers.push(issuer);
            }
        }
        issuers
    }

    /// Returns the issuers and the one in the discovery document.
    pub(crate) fn brokers(&self) -> Vec<String> {
        let mut brokers = self.issuers();
        let named = self.issuer(DISCOVERED_REGION);
        if !self.service.is_meetings() && !brokers.contains(&named) {
            brokers.push(named);
        }
        brokers
    }

    /// Returns `true` if a code was issued and not used yet.
    pub(crate) fn has_code(&self, code: &str) -> bool {
        self.codes.contains_key(code)
    }

    pub(crate) fn issue_code(
        &mut self,
        authorization: Authorization,
        user: usize,
        moment: &mut StepContext<'_>,
    ) -> String {
        if self.codes.len().is_power_of_two() {
            self.codes.retain(|_, code| moment.now < code.approved + CODE_LIFETIME);
        }
        let text = self.append_user_suffix(user, token_codec::encode_alphanumeric(&(moment.random)()));
        self.codes.insert(text.clone(), Code { user, authorization, approved: moment.now });
        text
    }

    /// Redeems a code, at most once and only for its integration.
    pub(crate) fn redeem_code(&mut self, code: &str, integration: usize, now: UnixTime) -> Option<Code> {
        if self.codes.get(code)?.authorization.integration != integration {
            return None;
        }
        self.codes.remove(code).filter(|code| now < code.approved + CODE_LIFETIME)
    }

    /// Returns the grant for a consent: the existing one of this user and integration if it is
    /// valid, or a new one. If refresh tokens rotate, logins do not share a grant.
    pub(crate) fn open_grant(&mut self, consented: Consent, moment: &mut StepContext<'_>) -> u64 {
        let Consent { user, integration, scopes, auth_time, binding } = consented;
        let stored = self.logins.get(&(user, integration)).and_then(|id| Some((*id, self.grants.get_mut(id)?)));
        let is_shared = self.rotation_policy.rotation != Rotation::Strict;
        if let Some((id, grant)) = stored.filter(|(_, grant)| is_shared && moment.now < grant.expires) {
            grant.scopes = scopes;
            grant.auth_time = auth_time;
            let is_new = |binding: &Binding| !grant.bindings.contains(binding);
            let binding = binding.filter(is_new);
            grant.bindings.extend(binding);
            return id;
        }
        let refresh_token = self.append_user_suffix(user, token_codec::encode_alphanumeric(&(moment.random)()));
        let expires = moment.now + self.lifetimes.refresh_token;
        let id = self.next_serial();
        self.logins.insert((user, integration), id);
        self.refresh_tokens.insert(refresh_token.clone(), id);
        let bindings = Vec::from_iter(binding);
        let grant = Grant { user, integration, refresh_token, expires, scopes, auth_time, bindings };
        self.grants.insert(id, grant);
        id
    }

    /// Opens a grant without a refresh token and with the lifetime of its access token, because no
    /// lasting grant is issued through a browser (RFC 6749, section 4.2.2).
    pub(crate) fn open_implicit_grant(&mut self, authorization: &Authorization, user: usize, now: UnixTime) -> u64 {
        if self.grants.len().is_power_of_two() {
            self.grants.retain(|_, grant| !grant.refresh_token.is_empty() || now < grant.expires);
        }
        let id = self.next_serial();
        let grant = Grant {
            user,
            integration: authorization.integration,
            refresh_token: String::new(),
            expires: now + self.lifetimes.access_token,
            scopes: authorization.scopes.clone(),
            auth_time: authorization.signed_in_at(now),
            bindings: Vec::new(),
        };
        self.grants.insert(id, grant);
        id
    }

    /// Returns the grant with an ID obtained in the same request.
    pub(crate) fn grant(&self, id: u64) -> &Grant {
        &self.grants[&id]
    }

    /// Returns the valid grant of a refresh token.
    pub(crate) fn find_grant(&self, refresh_token: &str, now: UnixTime) -> Option<(u64, &Grant)> {
        let id = *self.refresh_tokens.get(refresh_token)?;
        let grant = self.grants.get(&id)?;
        (now < grant.expires).then_some((id, grant))
    }

    /// Returns the number of refreshes granted to a user.
    pub(crate) fn granted_refreshes(&self, user: usize) -> usize {
        self.granted_refreshes.get(&user).copied().unwrap_or_default()
    }

    /// Issues an access token. Earlier ones stay valid until they expire.
    pub(crate) fn issue_access_token(&mut self, grant: u64, now: UnixTime) -> String {
        self.issue_access_token_until(grant, now + self.lifetimes.access_token)
    }

    pub(crate) fn issue_access_token_until(&mut self, grant: u64, expires: UnixTime) -> String {
        let token = TokenContent { grant, serial: self.next_serial(), expires };
        self.append_user_suffix(self.grant(grant).user, self.token_codec.encode(&token))
    }

    /// Returns the bearer of a valid access token.
    pub(crate) fn bearer(&self, access_token: &str, now: UnixTime) -> Option<Bearer<'_>> {
        let text = self.opaque_token(access_token);
        let sealed = text.split_once('_').map_or(text, |(sealed, _)| sealed);
        let token = self.token_codec.decode(sealed)?;
        let grant = self.grants.get(&token.grant)?;
        let user = self.users.get(grant.user)?;
        let is_ended = self.revoked_serials.contains(&token.serial)
            || self.revoked_up_to.get(&token.grant).is_some_and(|until| token.serial <= *until);
        let is_valid = now < token.expires && !is_ended;
        let is_complete = self.append_user_suffix(grant.user, sealed.to_owned()) == text;
        let (scopes, serial) = (&grant.scopes, token.serial);
        let bearer = Bearer { user, user_index: grant.user, scopes, expires: token.expires, serial };
        (is_valid && is_complete).then_some(bearer)
    }

    /// Revokes an access token of any integration.
    pub(crate) fn revoke_access_token(&mut self, access_token: &str, now: UnixTime) {
        let serial = self.bearer(access_token, now).map(|bearer| bearer.serial);
        self.revoked_serials.extend(serial);
    }

    /// Revokes a token of this integration: an access token, or a refresh token with its grant.
    pub(crate) fn revoke_token(&mut self, text: &str, integration: usize, now: UnixTime) {
        if let Some((id, _)) = self.find_grant(text, now).filter(|(_, grant)| grant.integration == integration) {
            self.revoke_grant(id);
            return;
        }
        let text = self.opaque_token(text);
        let sealed = text.split_once('_').map_or(text, |(sealed, _)| sealed);
        let Some(token) = self.token_codec.decode(sealed) else { return };
        let own = self.grants.get(&token.grant).filter(|grant| grant.integration == integration);
        if own.is_some_and(|grant| self.append_user_suffix(grant.user, sealed.to_owned()) == text) {
            self.revoked_serials.insert(token.serial);
        }
    }

    /// Revokes a grant: its refresh token and all tokens issued from it.
    pub(crate) fn revoke_grant(&mut self, id: u64) {
        if let Some(grant) = self.grants.remove(&id) {
            self.refresh_tokens.remove(&grant.refresh_token);
        }
    }

    /// Revokes the user's grants: the refresh tokens and all access tokens issued from them.
    pub(crate) fn revoke(&mut self, user: usize) {
        self.grants.retain(|_, grant| grant.user != user);
        self.consents.revoke(user);
        self.refresh_tokens.retain(|_, id| self.grants.contains_key(id));
    }

    /// Revokes the user's access tokens. The refresh tokens stay valid.
    pub(crate) fn expire_access_tokens(&mut self, user: usize) {
        let grants = self.grants.iter().filter(|(_, grant)| grant.user == user);
        self.revoked_up_to.extend(grants.map(|(id, _)| (*id, self.serial)));
    }

    pub(crate) fn revoke_all(&mut self) {
        self.grants.clear();
        self.consents.revoke_all();
        self.refresh_tokens.clear();
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Appends the cluster and organization of the user, as in codes and tokens of the platform.
    pub(crate) fn append_user_suffix(&self, user: usize, text: String) -> String {
        match self.users.get(user) {
            Some(user) if !self.service.is_meetings() => format!("{text}_{}", user_suffix(user)),
            _ => text,
        }
    }
}

fn user_suffix(user: &MockUser) -> String {
    format!("PF84_{}", user.organization_id())
}

/// The maximum number of remembered spent refresh tokens. Forgotten ones are rejected without
/// revoking a family.
const MAX_SPENT: usize = 10_000;

/// The rotation policy.
#[derive(Clone, Copy)]
pub(crate) struct RotationPolicy {
    pub(crate) rotation: Rotation,
    /// `true` if the use of a spent refresh token revokes its grant.
    pub(crate) revokes_families: bool,
    /// The grace period in which a spent refresh token is accepted in place of its successor.
    pub(crate) grace: Duration,
    /// The period in which a refresh returns the previous access token.
    pub(crate) access_token_reuse_window: Duration,
}

impl Default for RotationPolicy {
    fn default() -> Self {
        let (grace, repeats_within) = (Duration::ZERO, Duration::ZERO);
        Self { rotation: Rotation::Lenient, revokes_families: false, grace, access_token_reuse_window: repeats_within }
    }
}

/// Previous tokens.
#[derive(Default)]
pub(crate) struct SpentTokens {
    /// Spent refresh tokens with their grant and the time of their use.
    pub(crate) spent: HashMap<String, (u64, UnixTime)>,
    /// Spent refresh tokens, oldest first.
    order: VecDeque<String>,
    /// The latest access token of each grant and its issue time.
    pub(crate) access_tokens: HashMap<u64, (String, UnixTime)>,
}

impl SpentTokens {
    pub(crate) fn add(&mut self, refresh_token: String, grant: u64, now: UnixTime) {
        if self.order.len() == MAX_SPENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.spent.remove(&oldest);
        }
        self.spent.insert(refresh_token.clone(), (grant, now));
        self.order.push_back(refresh_token);
    }
}

/// The self-contained tokens with the opaque tokens that they represent, which are never returned.
#[derive(Default)]
pub(crate) struct SelfContained(pub(crate) HashMap<String, String>);
