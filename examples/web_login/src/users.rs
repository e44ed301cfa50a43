//! The users of this application, identified by their Webex person ID.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use webex_oauth::Person;

/// The users. In production, use a table with a unique index on `person_id`.
#[derive(Clone, Default)]
pub(crate) struct Users(Arc<Mutex<Vec<User>>>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    /// The user ID of this application.
    pub(crate) id: u64,
    /// Identifies the user. An e-mail address may change and be reassigned to another person.
    pub(crate) person_id: String,
    pub(crate) name: String,
    pub(crate) email: Option<String>,
}

impl Users {
    pub(crate) fn find(&self, id: u64) -> Option<User> {
        self.with_users(|users| users.iter().find(|user| user.id == id).cloned())
    }

    /// Returns the user with this person ID, with the current name and e-mail address.
    pub(crate) fn find_or_create(&self, person: &Person) -> User {
        let email = person.email().map(str::to_owned);
        let name = person.display_name().or(person.email()).unwrap_or("unknown user").to_owned();
        self.with_users(|users| {
            if let Some(user) = users.iter_mut().find(|user| user.person_id == person.id()) {
                (user.name, user.email) = (name, email);
                return user.clone();
            }
            let id = users.last().map_or(1, |last| last.id + 1);
            users.push(User { id, person_id: person.id().to_owned(), name, email });
            users[users.len() - 1].clone()
        })
    }

    fn with_users<T>(&self, operation: impl FnOnce(&mut Vec<User>) -> T) -> T {
        operation(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
