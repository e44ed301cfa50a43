//! What the mock world is: users, integrations, and the codes and tokens that were handed out.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::clock::UnixTime;
use crate::scope::Scopes;
use crate::service::Rotation;
use crate::testing::authorization::{Authorization, Binding};
use crate::testing::consents::{Consented, Consents};
use crate::testing::devices::Devices;
use crate::testing::faults::Faults;
use crate::testing::ledger::Ledger;
use crate::testing::opaque::{self, Seal, Sealed};
use crate::testing::orders::Orders;
use crate::testing::rotation::{Predecessors, Succession};
use crate::testing::self_contained::SelfContained;
use crate::testing::service::{Lifetimes, MockService};
use crate::testing::sessions::Sessions;
use crate::testing::signing::SigningKeys;
use crate::testing::user::MockUser;
use crate::testing::visits::Visits;

/// How long a code can be used. Webex only says "short-lived".
const CODE_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The region whose broker the discovery document names.
pub(super) const DISCOVERED_REGION: &str = "b-us";

/// An application that was registered with Webex.
pub(super) struct Integration {
    pub(super) name: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) redirect_uris: Vec<String>,
    pub(super) scopes: Scopes,
}

/// When something happens, and the dice for it.
pub(super) struct Moment<'a> {
    pub(super) now: UnixTime,
    /// By a clock that nobody sets.
    pub(super) elapsed: Duration,
    pub(super) random: &'a mut dyn FnMut() -> [u8; 32],
}

/// What a code stands for.
pub(super) struct Code {
    pub(super) user: usize,
    pub(super) authorization: Authorization,
    approved: UnixTime,
}

/// One user's consent to one integration: a refresh token, and every access token that came of it.
pub(super) struct Grant {
    pub(super) user: usize,
    pub(super) integration: usize,
    pub(super) refresh_token: String,
    pub(super) expires: UnixTime,
    pub(super) scopes: Scopes,
    /// When the user last signed in: at the mock, with each consent.
    pub(super) auth_time: UnixTime,
    /// Those of every login: Webex Meetings asks for them again at each refresh.
    pub(super) bindings: Vec<Binding>,
}

impl From<Code> for Consented {
    fn from(code: Code) -> Self {
        let auth_time = code.authorization.signed_in_at(code.approved);
        let Authorization { integration, binding, scopes, .. } = code.authorization;
        Self { user: code.user, integration, scopes, auth_time, binding: Some(binding) }
    }
}

/// Whose a living access token is, what it may do, and until when.
pub(super) struct Bearer<'a> {
    pub(super) user: &'a MockUser,
    pub(super) scopes: &'a Scopes,
    pub(super) expires: UnixTime,
    serial: u64,
}

/// Everything that the mock knows.
pub(super) struct State {
    pub(super) service: MockService,
    /// `http://127.0.0.1:<port>`.
    pub(super) origin: String,
    pub(super) users: Vec<MockUser>,
    pub(super) integrations: Vec<Integration>,
    pub(super) lifetimes: Lifetimes,
    pub(super) succession: Succession,
    pub(super) is_denied_by_administrator: bool,
    pub(super) keys: SigningKeys,
    /// Whether ID tokens have the hash of the access token that they go out with.
    pub(super) writes_at_hash: bool,
    pub(super) faults: Faults,
    pub(super) sessions: Sessions,
    pub(super) devices: Devices,
    pub(super) orders: Orders,
    pub(super) ledger: Ledger,
    pub(super) predecessors: Predecessors,
    pub(super) self_contained: SelfContained,
    pub(super) visits: Visits,
    pub(super) consents: Consents,
    /// By user.
    pub(super) granted_exchanges: HashMap<usize, usize>,
    pub(super) granted_refreshes: HashMap<usize, usize>,
    seal: Seal,
    serial: u64,
    codes: HashMap<String, Code>,
    pub(super) grants: HashMap<u64, Grant>,
    pub(super) refresh_tokens: HashMap<String, u64>,
    /// The serials of access tokens that were ended before their time.
    ended: HashSet<u64>,
    /// By grant, the last serial that was in use when its access tokens were ended.
    ended_until: HashMap<u64, u64>,
    /// The latest grant of each user to each integration.
    logins: HashMap<(usize, usize), u64>,
}

impl State {
    pub(super) fn new(
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
            succession: Succession::default(),
            is_denied_by_administrator: false,
            keys: SigningKeys::new(),
            writes_at_hash: false,
            faults: Faults::default(),
            sessions: Sessions::default(),
            devices: Devices::default(),
            orders: Orders::default(),
            ledger: Ledger::default(),
            predecessors: Predecessors::default(),
            self_contained: SelfContained::default(),
            visits: Visits::default(),
            consents: Consents::default(),
            granted_exchanges: HashMap::new(),
            granted_refreshes: HashMap::new(),
            seal: Seal::new(random),
            serial: 0,
            codes: HashMap::new(),
            grants: HashMap::new(),
            refresh_tokens: HashMap::new(),
            ended: HashSet::new(),
            ended_until: HashMap::new(),
            logins: HashMap::new(),
        }
    }

    pub(super) fn integration(&self, client_id: &str) -> Option<usize> {
        self.integrations.iter().position(|integration| integration.client_id == client_id)
    }

    pub(super) fn user(&self, email: &str) -> Option<usize> {
        self.users.iter().position(|user| user.email().eq_ignore_ascii_case(email))
    }

    /// The identity broker of a region: the one of the users without a region, where it is empty.
    pub(super) fn issuer(&self, region: &str) -> String {
        let separator = if region.is_empty() { "" } else { "-" };
        format!("{}/idb{separator}{region}", self.origin)
    }

    /// Who issues the ID tokens of a user.
    pub(super) fn issuer_of(&self, user: &MockUser) -> String {
        self.issuer(user.region())
    }

    /// Who issues ID tokens, each once; Webex Meetings knows none.
    pub(super) fn issuers(&self) -> Vec<String> {
        let mut issuers = Vec::new();
        for issuer in self.users.iter().map(|user| self.issuer_of(user)) {
            if !self.service.is_meetings() && !issuers.contains(&issuer) {
                issuers.push(issuer);
            }
        }
        issuers
    }

    /// The issuers, and the one that the discovery document names whoever asks.
    pub(super) fn brokers(&self) -> Vec<String> {
        let mut brokers = self.issuers();
        let named = self.issuer(DISCOVERED_REGION);
        if !self.service.is_meetings() && !brokers.contains(&named) {
            brokers.push(named);
        }
        brokers
    }

    /// Whether a code was handed out and not used yet.
    pub(super) fn has_code(&self, code: &str) -> bool {
        self.codes.contains_key(code)
    }

    pub(super) fn issue_code(&mut self, authorization: Authorization, user: usize, moment: &mut Moment<'_>) -> String {
        if self.codes.len().is_power_of_two() {
            self.codes.retain(|_, code| moment.now < code.approved + CODE_LIFETIME);
        }
        let text = self.for_user(user, opaque::text(&(moment.random)()));
        self.codes.insert(text.clone(), Code { user, authorization, approved: moment.now });
        text
    }

    /// Hands out what a code stands for, at most once and only to the integration it was made for.
    pub(super) fn redeem_code(&mut self, code: &str, integration: usize, now: UnixTime) -> Option<Code> {
        if self.codes.get(code)?.authorization.integration != integration {
            return None;
        }
        self.codes.remove(code).filter(|code| now < code.approved + CODE_LIFETIME)
    }

    /// The grant that a consent leads to: the one that the user has already given this integration, if it lives. Where
    /// refresh tokens rotate, two logins cannot share one.
    pub(super) fn open_grant(&mut self, consented: Consented, moment: &mut Moment<'_>) -> u64 {
        let Consented { user, integration, scopes, auth_time, binding } = consented;
        let known = self.logins.get(&(user, integration)).and_then(|id| Some((*id, self.grants.get_mut(id)?)));
        let is_shared = self.succession.rotation != Rotation::Strict;
        if let Some((id, grant)) = known.filter(|(_, grant)| is_shared && moment.now < grant.expires) {
            grant.scopes = scopes;
            grant.auth_time = auth_time;
            let is_new = |binding: &Binding| !grant.bindings.contains(binding);
            let binding = binding.filter(is_new);
            grant.bindings.extend(binding);
            return id;
        }
        let refresh_token = self.for_user(user, opaque::text(&(moment.random)()));
        let expires = moment.now + self.lifetimes.refresh_token;
        let id = self.next_serial();
        self.logins.insert((user, integration), id);
        self.refresh_tokens.insert(refresh_token.clone(), id);
        let bindings = Vec::from_iter(binding);
        let grant = Grant { user, integration, refresh_token, expires, scopes, auth_time, bindings };
        self.grants.insert(id, grant);
        id
    }

    /// A grant without a refresh token, as long as its access token: nothing lasting goes out through a browser
    /// (RFC 6749 section 4.2.2).
    pub(super) fn open_brief_grant(&mut self, authorization: &Authorization, user: usize, now: UnixTime) -> u64 {
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

    /// The grant of an id that this state gave out in the same request.
    pub(super) fn grant(&self, id: u64) -> &Grant {
        &self.grants[&id]
    }

    /// The living grant of a refresh token.
    pub(super) fn find_grant(&self, refresh_token: &str, now: UnixTime) -> Option<(u64, &Grant)> {
        let id = *self.refresh_tokens.get(refresh_token)?;
        let grant = self.grants.get(&id)?;
        (now < grant.expires).then_some((id, grant))
    }

    /// How many refreshes a user's logins were granted.
    pub(super) fn granted_refreshes(&self, user: usize) -> usize {
        self.granted_refreshes.get(&user).copied().unwrap_or_default()
    }

    /// A new access token; those issued before stay good until they expire.
    pub(super) fn issue_access_token(&mut self, grant: u64, now: UnixTime) -> String {
        self.issue_access_token_until(grant, now + self.lifetimes.access_token)
    }

    pub(super) fn issue_access_token_until(&mut self, grant: u64, expires: UnixTime) -> String {
        let token = Sealed { grant, serial: self.next_serial(), expires };
        self.for_user(self.grant(grant).user, self.seal.close(&token))
    }

    /// Who a living access token is for.
    pub(super) fn bearer(&self, access_token: &str, now: UnixTime) -> Option<Bearer<'_>> {
        let (sealed, rest) = self.opaque(access_token).split_once('_')?;
        let token = self.seal.open(sealed)?;
        let grant = self.grants.get(&token.grant)?;
        let user = self.users.get(grant.user)?;
        let is_ended = self.ended.contains(&token.serial)
            || self.ended_until.get(&token.grant).is_some_and(|until| token.serial <= *until);
        let lives = now < token.expires && !is_ended;
        let bearer = Bearer { user, scopes: &grant.scopes, expires: token.expires, serial: token.serial };
        (lives && rest == suffix(user)).then_some(bearer)
    }

    /// Ends an access token, whosever it is.
    pub(super) fn end_access_token(&mut self, access_token: &str, now: UnixTime) {
        let serial = self.bearer(access_token, now).map(|bearer| bearer.serial);
        self.ended.extend(serial);
    }

    /// Ends a token of this integration: an access token alone, or a refresh token with all that came of it.
    pub(super) fn end_token(&mut self, text: &str, integration: usize, now: UnixTime) {
        if let Some((id, _)) = self.find_grant(text, now).filter(|(_, grant)| grant.integration == integration) {
            self.end_grant(id);
            return;
        }
        let text = self.opaque(text);
        let sealed = text.split_once('_').map_or(text, |(sealed, _)| sealed);
        let Some(token) = self.seal.open(sealed) else { return };
        let own = self.grants.get(&token.grant).filter(|grant| grant.integration == integration);
        if own.is_some_and(|grant| self.for_user(grant.user, sealed.to_owned()) == text) {
            self.ended.insert(token.serial);
        }
    }

    /// Ends one grant: its refresh token, and all that came of it.
    pub(super) fn end_grant(&mut self, id: u64) {
        if let Some(grant) = self.grants.remove(&id) {
            self.refresh_tokens.remove(&grant.refresh_token);
        }
    }

    /// Ends the user's grants: the refresh tokens die, and every access token that came of them.
    pub(super) fn revoke(&mut self, user: usize) {
        self.grants.retain(|_, grant| grant.user != user);
        self.consents.revoke(user);
        self.refresh_tokens.retain(|_, id| self.grants.contains_key(id));
    }

    /// Ends the user's access tokens; the refresh tokens live on.
    pub(super) fn expire_access_tokens(&mut self, user: usize) {
        let grants = self.grants.iter().filter(|(_, grant)| grant.user == user);
        self.ended_until.extend(grants.map(|(id, _)| (*id, self.serial)));
    }

    pub(super) fn revoke_all(&mut self) {
        self.grants.clear();
        self.consents.revoke_all();
        self.refresh_tokens.clear();
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The platform's codes and tokens end in the user's cluster and organization.
    pub(super) fn for_user(&self, user: usize, text: String) -> String {
        match self.users.get(user) {
            Some(user) if !self.service.is_meetings() => format!("{text}_{}", suffix(user)),
            _ => text,
        }
    }
}

fn suffix(user: &MockUser) -> String {
    format!("PF84_{}", user.organization_id())
}
