//! Ready-made rooms, memberships, and messages of a user.

use serde_json::{Value, json};

use crate::testing::registry::MockUser;
use crate::testing::token_codec;

/// The rooms: title, type, and the texts of the messages, latest first.
const ROOMS: [(&str, &str, &[&str]); 3] = [
    (
        "Project Alpha",
        "group",
        &["Done.", "Thanks!", "I will update the plan.", "Any news?", "Welcome to Project Alpha"],
    ),
    (
        "Support",
        "group",
        &["Closing the ticket.", "It works again.", "Please restart it.", "It does not start.", "Hello"],
    ),
    ("Bob Smith", "direct", &["See you tomorrow.", "Are you in the office today?"]),
];

/// The day on which the rooms were created. Each message is a minute later than the one before.
const DAY: &str = "2024-04-01";

/// Returns the resources, each with its path below the base path of the service.
pub(crate) fn sample_resources(user: &MockUser, region: &str) -> [(&'static str, Vec<Value>); 3] {
    let bob = MockUser::new("bob@example.com").name("Bob Smith");
    let sample = Sample { user, region, members: [user, &bob] };
    let rooms = (0..ROOMS.len()).map(|room| sample.room(room)).collect();
    let memberships = (0..ROOMS.len()).flat_map(|room| sample.memberships(room)).collect();
    let messages = (0..ROOMS.len()).flat_map(|room| sample.messages(room)).collect();
    [("rooms", rooms), ("memberships", memberships), ("messages", messages)]
}

struct Sample<'a> {
    user: &'a MockUser,
    region: &'a str,
    /// The members of all rooms.
    members: [&'a MockUser; 2],
}

impl Sample<'_> {
    fn room(&self, room: usize) -> Value {
        let (title, kind, texts) = ROOMS[room];
        json!({
            "id": self.room_id(room),
            "title": title,
            "type": kind,
            "isLocked": false,
            "lastActivity": created(texts.len()),
            "creatorId": self.person_id(self.user),
            "created": created(0),
            "ownerId": token_codec::rest_id(self.region, "ORGANIZATION", self.user.organization_id()),
        })
    }

    fn memberships(&self, room: usize) -> Vec<Value> {
        let membership = |(index, person): (usize, &&MockUser)| {
            json!({
                "id": self.id("MEMBERSHIP", room, index),
                "roomId": self.room_id(room),
                "roomType": ROOMS[room].1,
                "personId": self.person_id(person),
                "personEmail": person.email(),
                "personDisplayName": person.display_name(),
                "personOrgId": token_codec::rest_id(self.region, "ORGANIZATION", person.organization_id()),
                "isModerator": false,
                "isMonitor": false,
                "created": created(0),
            })
        };
        self.members.iter().enumerate().map(membership).collect()
    }

    fn messages(&self, room: usize) -> Vec<Value> {
        let texts = ROOMS[room].2;
        let message = |(index, text): (usize, &&str)| {
            let minute = texts.len() - index;
            let author = self.members[minute % 2];
            json!({
                "id": self.id("MESSAGE", room, minute),
                "roomId": self.room_id(room),
                "roomType": ROOMS[room].1,
                "text": text,
                "personId": self.person_id(author),
                "personEmail": author.email(),
                "created": created(minute),
            })
        };
        texts.iter().enumerate().map(message).collect()
    }

    fn person_id(&self, user: &MockUser) -> String {
        token_codec::rest_id(self.region, "PEOPLE", &user.uuid())
    }

    fn room_id(&self, room: usize) -> String {
        self.id("ROOM", room, 0)
    }

    /// Returns an ID that is derived from the user, and thus the same in every run.
    fn id(&self, kind: &str, room: usize, index: usize) -> String {
        let uuid = token_codec::uuid_of(&format!("{} {kind} {room} {index}", self.user.email()));
        token_codec::rest_id(self.region, kind, &uuid)
    }
}

fn created(minute: usize) -> String {
    format!("{DAY}T09:{minute:02}:00.000Z")
}
