//! What a fault does to a value.

use serde_json::Value;

/// A `1` after a text, as in the relying-party tests of the OpenID Foundation: whoever compares beginnings takes it.
pub(super) fn append_one(value: &mut Value) {
    *value = format!("{}1", value.as_str().unwrap_or_default()).into();
}

/// An earlier time.
pub(super) fn set_back(time: &mut Value, seconds: u64) {
    *time = time.as_u64().unwrap_or_default().saturating_sub(seconds).into();
}

/// A later time.
pub(super) fn put_off(time: &mut Value, seconds: u64) {
    *time = time.as_u64().unwrap_or_default().saturating_add(seconds).into();
}

/// An object without this member.
pub(super) fn remove(object: &mut Value, name: &str) {
    if let Some(members) = object.as_object_mut() {
        members.remove(name);
    }
}
