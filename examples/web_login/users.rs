//! The users of this application, found by Webex's id of the person.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use webex_oauth::Person;

/// In production, a table with a unique index over `person_id`.
#[derive(Clone, Default)]
pub(crate) struct Users(Arc<Mutex<Vec<User>>>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    /// Our own number.
    pub(crate) id: u64,
    /// Never the e-mail address: that changes, and is given to somebody else one day.
    pub(crate) person_id: String,
    pub(crate) name: String,
    pub(crate) email: Option<String>,
}

impl Users {
    pub(crate) fn find(&self, id: u64) -> Option<User> {
        self.all(|users| users.iter().find(|user| user.id == id).cloned())
    }

    /// The user whom Webex knows as this person, with the name and the address of today.
    pub(crate) fn find_or_create(&self, person: &Person) -> User {
        let email = person.email().map(str::to_owned);
        let name = person.display_name().or(person.email()).unwrap_or("somebody").to_owned();
        self.all(|users| {
            if let Some(user) = users.iter_mut().find(|user| user.person_id == person.id()) {
                (user.name, user.email) = (name, email);
                return user.clone();
            }
            let id = users.last().map_or(1, |last| last.id + 1);
            users.push(User { id, person_id: person.id().to_owned(), name, email });
            users[users.len() - 1].clone()
        })
    }

    fn all<T>(&self, act: impl FnOnce(&mut Vec<User>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
