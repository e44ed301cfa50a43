"""The `Integration` of wxc_sdk, by a Cisco engineer. It does not use PKCE."""

import datetime

import requests
from wxc_sdk import WebexSimpleApi
from wxc_sdk.integration import Integration
from wxc_sdk.rest import RestSession

from harness import (
    AUTHORIZE,
    SCOPES,
    TOKEN,
    WEBEX,
    approve,
    callback_parameters,
    error_outcomes,
    expect_error,
    report,
    send_command,
    token_owner,
    visit,
    with_other_secret,
)

SECRET = WEBEX["client_secret"]

# The SDK has no setting for this URL.
RestSession.BASE = WEBEX["base"]

integration = Integration(
    client_id=WEBEX["client_id"],
    client_secret=SECRET,
    scopes=SCOPES,
    redirect_url=WEBEX["redirect_uri"],
    auth_service=AUTHORIZE,
    token_service=TOKEN,
)


def authorization_code(browser=approve):
    callback = callback_parameters(browser(integration.auth_url(state="a state")))
    assert callback["state"] == "a state"
    return callback["code"]


def error_report(error):
    assert isinstance(error, requests.HTTPError), repr(error)
    body = error.response.json()
    description = body["errors"][0]["description"]
    return {"status": error.response.status_code, "message": body["message"], "description": description}


tokens = integration.tokens_from_code(authorization_code(lambda url: visit(url, user="jane@example.com", decision="accept")))
with WebexSimpleApi(tokens=tokens) as api:
    person = api.people.me()
report(
    "login",
    lifetimes=[tokens.expires_in, tokens.refresh_token_expires_in],
    scope=tokens.scope,
    person=[person.emails[0], person.display_name, person.first_name],
    days_remaining=round(tokens.remaining / 86400),
)

old_tokens = tokens.model_copy()
# The SDK refreshes tokens that expire within five minutes.
tokens.expires_at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=299)
is_refreshed = integration.validate_tokens(tokens)
report(
    "refresh",
    is_refreshed=is_refreshed,
    is_new=tokens.access_token != old_tokens.access_token,
    keeps_refresh_token=tokens.refresh_token == old_tokens.refresh_token,
    users=[token_owner(tokens.access_token), token_owner(old_tokens.access_token)],
)
report("refresh_of_valid_token", is_refreshed=integration.validate_tokens(tokens))

send_command("fault", tokens="OddTokenType")
report("OddTokenType", error=type(expect_error(integration.refresh, tokens)).__name__)
send_command("fault", tokens="MissingTokenType")
integration.refresh(tokens)
report("MissingTokenType", user=token_owner(tokens.access_token))

send_command("fault", tokens="MissingRefreshToken")
copy = old_tokens.model_copy()
integration.refresh(copy)
report("refresh_without_refresh_token", keeps_refresh_token=copy.refresh_token == old_tokens.refresh_token)

callback = callback_parameters(visit(integration.auth_url(state="a state"), user="bob@example.com", decision="deny"))
report("denied", **callback)

used = authorization_code()
integration.tokens_from_code(used)
report("used_code", **error_report(expect_error(integration.tokens_from_code, used)))

valid = authorization_code()
report("wrong_secret", **error_report(with_other_secret(SECRET, lambda: expect_error(integration.tokens_from_code, valid))))

# A failed refresh removes the access token, which is still valid.
copy = tokens.model_copy()
with_other_secret(SECRET, lambda: expect_error(integration.refresh, copy))
report("refresh_with_wrong_secret", access_token=copy.access_token, user=token_owner(tokens.access_token))


def outcome(refresh):
    """Returns the error, and whether the valid access token is still there."""
    copy = tokens.model_copy()
    error = expect_error(refresh, copy)
    status = [error.response.status_code] if isinstance(error, requests.HTTPError) else []
    return [type(error).__name__, *status, copy.access_token is not None]


report("error_outcomes", **error_outcomes(integration.refresh, outcome))

send_command("revoke")
report("revoked", **error_report(expect_error(integration.refresh, tokens)), access_token=tokens.access_token)
with WebexSimpleApi(tokens=old_tokens) as api:
    error = expect_error(api.people.me)
report("revoked_access_token", error=type(error).__name__, status=error.response.status_code, message=error.detail.message)
