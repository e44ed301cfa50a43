//! Rules of the REST API: scopes, pages, items, and changes of the resources that a test added.
//!
//! The sources are developer.webex.com/docs/api/basics and the pages of the resources.

use serde_json::{Value, json};

use crate::clock::UnixTime;
use crate::scope::Scopes;
use crate::testing::faults::link::NextLink;
use crate::testing::message::{Body, Fields, Request, RestError, RuleResult};
use crate::testing::model::resources::{Content, Resource, Settings, Target};
use crate::testing::model::state::{State, StepContext};
use crate::testing::token_codec;

/// The user and the scopes of a valid access token.
pub(crate) struct Caller {
    pub(crate) user: usize,
    pub(crate) scopes: Scopes,
}

/// Responds to a request of a caller.
pub(crate) fn respond(
    request: &Request,
    target: &Target,
    caller: &Caller,
    state: &mut State,
    context: &mut StepContext<'_>,
) -> RuleResult {
    let resource = state.resources.visible_to(caller.user, &target.path);
    let mut resource = resource.ok_or_else(|| RestError::not_found("the resource belongs to another user"))?;
    let items = match &mut resource.content {
        Content::List(items) => Some(std::mem::take(items)),
        Content::Object(_) => None,
    };
    let method = request.method.as_str();
    let (is_list, item_id) = (items.is_some(), target.item.as_deref().map(decode_percent));
    if !matches!((method, is_list, item_id.is_some()), ("GET", ..) | ("POST", true, false) | ("DELETE", true, true)) {
        let reason = "resources support GET; lists also support POST, and their items DELETE";
        return Err(RestError::wrong_method(reason));
    }
    check_scopes(&resource.settings, caller, method != "GET")?;
    match (method, items, item_id) {
        (_, None, _) => Ok((200, Body::Json(resource.content.to_json()))),
        ("POST", Some(mut items), _) => {
            let item = created_item(request, &resource, state, context)?;
            items.insert(0, item.clone());
            state.resources.store(resource, items);
            Ok((200, Body::Json(item)))
        }
        ("DELETE", Some(mut items), Some(id)) => {
            items.remove(position_of(&items, &id)?);
            state.resources.store(resource, items);
            Ok((204, Body::Empty))
        }
        (_, Some(mut items), Some(id)) => Ok((200, Body::Json(items.swap_remove(position_of(&items, &id)?)))),
        (_, Some(items), None) => list_page(request, &resource, &items, caller, state),
    }
}

/// Checks that the token has one of the required scopes. `spark:all` includes all user-level
/// `spark:` scopes (developer.webex.com/docs/integrations).
fn check_scopes(settings: &Settings, caller: &Caller, is_write: bool) -> Result<(), RestError> {
    let write_scopes = settings.write_scopes.as_ref().filter(|_| is_write);
    let required = write_scopes.unwrap_or(&settings.read_scopes);
    let has_all = caller.scopes.contains("spark:all");
    let is_granted = |scope: &str| caller.scopes.contains(scope) || (has_all && scope.starts_with("spark:"));
    if required.is_empty() || required.iter().any(|scope| is_granted(scope.as_str())) {
        return Ok(());
    }
    Err(RestError::missing_scope("the access token has none of the scopes that the resource requires"))
}

/// Returns one page of a list, with a link to the next one (RFC 8288).
fn list_page(request: &Request, resource: &Resource, items: &[Value], caller: &Caller, state: &State) -> RuleResult {
    let (query, settings) = (&request.query, &resource.settings);
    if let Some(name) = &settings.required_parameter
        && query.get_non_blank(name).is_none()
    {
        return Err(RestError::malformed("A required query parameter is missing.", "missing query parameter"));
    }
    let size = page_size(query, settings)?;
    let start = match query.get("cursor") {
        None => 0,
        Some(cursor) => {
            let left = state.resources.items_left(cursor, &resource.path, caller.user);
            let reason = "the cursor was not issued for this list and user";
            let left = left.ok_or_else(|| RestError::malformed("The cursor is invalid.", reason))?;
            items.len().saturating_sub(left)
        }
    };
    let filters = filters(query, items);
    let is_selected = |item: &Value| filters.iter().all(|(name, value)| has_value(item, name, value));
    let mut selected = items.iter().enumerate().skip(start).filter(|(_, item)| is_selected(item));
    let page: Vec<_> = selected.by_ref().take(size).map(|(_, item)| item.clone()).collect();
    let body = json!({ "items": page });
    let Some((next, _)) = selected.next() else { return Ok((200, Body::Json(body))) };
    let parameters = query.pairs().iter().filter(|(name, _)| name != "cursor").cloned().collect();
    let link = NextLink {
        origin: state.origin.clone(),
        path: resource.path.clone(),
        parameters,
        current: query.get("cursor").map(str::to_owned),
        cursor: state.resources.cursor(&resource.path, caller.user, items.len() - next),
    };
    Ok((200, Body::JsonWithLink(body, link.with_fault(settings.link_fault).header())))
}

/// Returns the number of items per page. `max` is reduced to the maximum of the resource
/// (developer.webex.com/docs/basics, "Pagination").
fn page_size(query: &Fields, settings: &Settings) -> Result<usize, RestError> {
    let size = match query.get("max") {
        None => settings.default_page_size,
        Some(max) => {
            let number = max.parse().ok().filter(|max| *max > 0_usize);
            let reason = "`max` must be a positive integer";
            number.ok_or_else(|| RestError::malformed("The value of max is invalid.", reason))?
        }
    };
    Ok(size.min(settings.max_page_size))
}

/// Returns the parameters that select items: those that are the name of a member of an item.
fn filters<'a>(query: &'a Fields, items: &[Value]) -> Vec<(&'a str, &'a str)> {
    let pairs = query.pairs().iter().filter(|(name, _)| name != "max" && name != "cursor");
    let pairs = pairs.map(|(name, value)| (member_name(name), value.as_str()));
    pairs.filter(|(name, _)| items.iter().any(|item| item.get(name).is_some())).collect()
}

/// Returns the member that a parameter selects by. It has the same name, except for the e-mail
/// address of a person.
fn member_name(parameter: &str) -> &str {
    if parameter == "email" { "emails" } else { parameter }
}

/// Returns `true` if a member of an item is or contains a value.
fn has_value(item: &Value, name: &str, value: &str) -> bool {
    let is_equal = |own: &Value| {
        let text = own.as_str().map_or_else(|| own.to_string(), str::to_owned);
        text == value
    };
    match item.get(name) {
        Some(Value::Array(values)) => values.iter().any(is_equal),
        Some(own) => is_equal(own),
        None => false,
    }
}

/// Returns the position of the item with an ID.
fn position_of(items: &[Value], id: &str) -> Result<usize, RestError> {
    let found = items.iter().position(|item| has_value(item, "id", id));
    found.ok_or_else(|| RestError::not_found("the resource has no item with this ID"))
}

/// Returns a new item: the members in the request, an ID, and the time of its creation.
fn created_item(
    request: &Request,
    resource: &Resource,
    state: &State,
    context: &mut StepContext<'_>,
) -> Result<Value, RestError> {
    let mut item = match &request.json {
        Some(Value::Object(members)) => members.clone(),
        Some(_) => {
            return Err(RestError::malformed("The body is invalid.", "the body must be a JSON object"));
        }
        None => return Err(RestError::wrong_media_type("the body must be valid JSON with `application/json`")),
    };
    let uuid = token_codec::uuid(&(context.random)());
    let id = match resource.settings.kind {
        Some(kind) => token_codec::rest_id(state.service.region(), kind, &uuid),
        None => uuid,
    };
    item.insert("id".to_owned(), id.into());
    item.insert("created".to_owned(), timestamp(context.now).into());
    Ok(Value::Object(item))
}

/// Formats a time as in the REST API: `2024-03-31T12:00:00.000Z`.
fn timestamp(time: UnixTime) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let date = time.to_string();
    let words: Vec<_> = date.split(' ').collect();
    let [_, day, month, year, clock, _] = words[..] else { return date };
    let month = MONTHS.iter().position(|own| *own == month).map_or(0, |index| index + 1);
    format!("{year}-{month:02}-{day}T{clock}.000Z")
}

/// Decodes a percent-encoded path segment. Invalid escapes stay unchanged.
fn decode_percent(segment: &str) -> String {
    // In a path, `+` and `&` have no special meaning.
    let segment = format!("={}", segment.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(segment.as_bytes()).next().map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_has_format_of_rest_api() {
        assert_eq!(timestamp(UnixTime::from_secs(1_700_000_000)), "2023-11-14T22:13:20.000Z");
        assert_eq!(timestamp(UnixTime::MAX), "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn path_segment_is_decoded_once() {
        for (segment, expected) in
            [("abc", "abc"), ("a%40b", "a@b"), ("a+b", "a+b"), ("a%2520", "a%20"), ("a%zz&b=c", "a%zz&b=c")]
        {
            assert_eq!(decode_percent(segment), expected);
        }
    }
}
