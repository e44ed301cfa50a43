//! Resources of the REST API that a test added: lists and single objects, with their settings.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::clock::UnixTime;
use crate::scope::Scopes;
use crate::testing::faults::link::LinkFault;
use crate::testing::token_codec::{TokenCodec, TokenContent};

/// The data of a resource.
#[derive(Clone)]
pub(crate) enum Content {
    /// A list, served in pages, whose items are JSON objects.
    List(Vec<Value>),
    /// Served unchanged.
    Object(Value),
}

impl Content {
    /// Converts JSON, or returns the reason why it is no resource.
    pub(crate) fn from_json(json: Value) -> Result<Self, &'static str> {
        match json {
            Value::Array(items) if items.iter().all(Value::is_object) => Ok(Self::List(items)),
            Value::Object(_) => Ok(Self::Object(json)),
            Value::Array(_) => Err("each item of a list must be a JSON object"),
            _ => Err("a resource is a JSON object, or an array of JSON objects"),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::List(items) => Value::Array(items.clone()),
            Self::Object(object) => object.clone(),
        }
    }
}

/// The settings of a resource.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The scopes for reading, one of which is required. Empty if any valid token suffices.
    pub(crate) read_scopes: Scopes,
    /// The scopes for writing, if they differ.
    pub(crate) write_scopes: Option<Scopes>,
    /// The query parameter that a request for the list requires.
    pub(crate) required_parameter: Option<String>,
    pub(crate) default_page_size: usize,
    pub(crate) max_page_size: usize,
    /// The kind of object in the REST ID of a created item, or `None` for a plain UUID.
    pub(crate) kind: Option<&'static str>,
    pub(crate) link_fault: Option<LinkFault>,
}

/// The documented properties of a resource.
struct Documented {
    path: &'static str,
    read: &'static str,
    write: &'static str,
    kind: Option<&'static str>,
    required_parameter: Option<&'static str>,
    default_page_size: usize,
    max_page_size: usize,
}

/// The page size of most lists, and its maximum
/// (developer.webex.com/docs/api/v1/rooms/list-rooms).
const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 1000;

const fn documented(
    path: &'static str,
    read: &'static str,
    write: &'static str,
    kind: Option<&'static str>,
) -> Documented {
    let (default_page_size, max_page_size) = (DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE);
    Documented { path, read, write, kind, required_parameter: None, default_page_size, max_page_size }
}

/// The resources with known scopes, from their pages below developer.webex.com/docs/api/v1.
const DOCUMENTED: &[Documented] = &[
    documented("/rooms", "spark:rooms_read", "spark:rooms_write", Some("ROOM")),
    Documented {
        required_parameter: Some("roomId"),
        default_page_size: 50,
        ..documented("/messages", "spark:messages_read", "spark:messages_write", Some("MESSAGE"))
    },
    documented("/memberships", "spark:memberships_read", "spark:memberships_write", Some("MEMBERSHIP")),
    documented("/people", "spark:people_read spark-admin:people_read", "spark-admin:people_write", Some("PEOPLE")),
    documented("/teams", "spark:teams_read", "spark:teams_write", Some("TEAM")),
    Documented {
        required_parameter: Some("teamId"),
        ..documented(
            "/team/memberships",
            "spark:team_memberships_read",
            "spark:team_memberships_write",
            Some("TEAM_MEMBERSHIP"),
        )
    },
    documented("/webhooks", "spark:webhooks_read", "spark:webhooks_write", Some("WEBHOOK")),
    Documented {
        default_page_size: 10,
        max_page_size: 100,
        ..documented(
            "/meetings",
            "meeting:schedules_read meeting:admin_schedule_read",
            "meeting:schedules_write meeting:admin_schedule_write",
            None,
        )
    },
];

impl Settings {
    /// Returns the settings for a path: the documented ones, or those of an unknown resource, which
    /// requires no scope.
    pub(crate) fn for_path(path: &str) -> Self {
        let found = DOCUMENTED.iter().find(|own| path.strip_prefix("/v1") == Some(own.path));
        let own = found.unwrap_or(const { &documented("", "", "", None) });
        Self {
            read_scopes: Scopes::from_server(own.read),
            write_scopes: (!own.write.is_empty()).then(|| Scopes::from_server(own.write)),
            required_parameter: own.required_parameter.map(str::to_owned),
            default_page_size: own.default_page_size,
            max_page_size: own.max_page_size,
            kind: own.kind,
            link_fault: None,
        }
    }
}

/// A resource at a path.
#[derive(Clone)]
pub(crate) struct Resource {
    pub(crate) id: u64,
    pub(crate) path: String,
    /// The only user to whom it belongs, or `None` if all users share it.
    pub(crate) user: Option<usize>,
    pub(crate) content: Content,
    pub(crate) settings: Settings,
}

/// The resource or item that a request path refers to.
pub(crate) struct Target {
    /// The path of the resource.
    pub(crate) path: String,
    /// The percent-encoded ID of an item.
    pub(crate) item: Option<String>,
}

/// All resources of a mock.
pub(crate) struct Resources {
    entries: Vec<Resource>,
    last_id: u64,
    cursor_codec: TokenCodec,
}

impl Resources {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { entries: Vec::new(), last_id: 0, cursor_codec: TokenCodec::new(secret) }
    }

    /// Adds a resource, or replaces the one with the same path and user. Returns its ID.
    pub(crate) fn add(&mut self, path: &str, user: Option<usize>, content: Content, settings: Settings) -> u64 {
        self.last_id += 1;
        self.entries.retain(|own| own.path != path || own.user != user);
        self.entries.push(Resource { id: self.last_id, path: path.to_owned(), user, content, settings });
        self.last_id
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Resource> {
        self.entries.iter().find(|own| own.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Resource> {
        self.entries.iter_mut().find(|own| own.id == id)
    }

    /// Returns the resource at a path, or the list with an item at this path.
    pub(crate) fn target(&self, path: &str) -> Option<Target> {
        if self.entries.iter().any(|own| own.path == path) {
            return Some(Target { path: path.to_owned(), item: None });
        }
        let (list, item) = path.rsplit_once('/')?;
        let has_items = |own: &Resource| own.path == list && matches!(own.content, Content::List(_));
        let is_item = !item.is_empty() && self.entries.iter().any(has_items);
        is_item.then(|| Target { path: list.to_owned(), item: Some(item.to_owned()) })
    }

    /// Returns the resource that a user sees: the user's own, or the shared one.
    ///
    /// If only other users have a list at this path, it is empty for this user. An object of
    /// another user is not found.
    pub(crate) fn visible_to(&self, user: usize, path: &str) -> Option<Resource> {
        let at = |owner| self.entries.iter().find(|own| own.path == path && own.user == owner);
        if let Some(resource) = at(Some(user)).or_else(|| at(None)) {
            return Some(resource.clone());
        }
        let is_list = |own: &&Resource| own.path == path && matches!(own.content, Content::List(_));
        let other = self.entries.iter().find(is_list)?.clone();
        Some(Resource { user: Some(user), content: Content::List(Vec::new()), ..other })
    }

    /// Stores the changed items of a list.
    pub(crate) fn store(&mut self, resource: Resource, items: Vec<Value>) {
        let is_same = |own: &&mut Resource| own.path == resource.path && own.user == resource.user;
        match self.entries.iter_mut().find(is_same) {
            Some(own) => own.content = Content::List(items),
            None => {
                self.add(&resource.path, resource.user, Content::List(items), resource.settings);
            }
        }
    }

    /// Returns the cursor of a page, after which this number of items of the whole list is left.
    pub(crate) fn cursor(&self, path: &str, user: usize, left: usize) -> String {
        let content = TokenContent { grant: left as u64, serial: list_id(path, user), expires: UnixTime::MAX };
        self.cursor_codec.encode(&content)
    }

    /// Returns the number of items that a cursor of the same list leaves.
    pub(crate) fn items_left(&self, cursor: &str, path: &str, user: usize) -> Option<usize> {
        let content = self.cursor_codec.decode(cursor)?;
        (content.serial == list_id(path, user)).then(|| usize::try_from(content.grant).ok()).flatten()
    }
}

/// Returns a number that identifies the list of a user.
fn list_id(path: &str, user: usize) -> u64 {
    let digest = <[u8; 32]>::from(Sha256::digest(format!("{user} {path}")));
    digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
