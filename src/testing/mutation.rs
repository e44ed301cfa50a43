//! Changes of JSON values by faults.

use serde_json::Value;

/// Appends `1` to a string, as the relying party tests of the OpenID Foundation do. This detects
/// comparisons of prefixes.
pub(super) fn append_one(value: &mut Value) {
    *value = format!("{}1", value.as_str().unwrap_or_default()).into();
}

/// Moves a time to the past.
pub(super) fn set_back(time: &mut Value, seconds: u64) {
    *time = time.as_u64().unwrap_or_default().saturating_sub(seconds).into();
}

/// Moves a time to the future.
pub(super) fn put_off(time: &mut Value, seconds: u64) {
    *time = time.as_u64().unwrap_or_default().saturating_add(seconds).into();
}

/// Removes a member of an object.
pub(super) fn remove(object: &mut Value, name: &str) {
    if let Some(members) = object.as_object_mut() {
        members.remove(name);
    }
}
