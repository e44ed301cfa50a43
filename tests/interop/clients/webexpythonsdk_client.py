"""webexpythonsdk, the most common Python library for Webex. It exchanges codes and refreshes tokens."""

from urllib.parse import urlencode

from webexpythonsdk import WebexAPI
from webexpythonsdk.exceptions import ApiError, RateLimitError

from harness import (
    AUTHORIZE,
    SCOPES,
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
# The SDK resolves endpoints relative to this URL, so it needs the trailing slash.
BASE = WEBEX["base"] + "/"
CLIENT = {"client_id": WEBEX["client_id"], "client_secret": SECRET}


def authorization_url():
    request = {"client_id": WEBEX["client_id"], "redirect_uri": WEBEX["redirect_uri"], "scope": SCOPES}
    return f"{AUTHORIZE}?{urlencode({'response_type': 'code', 'state': 'a state', **request})}"


def authorization_code(browser=approve):
    return callback_parameters(browser(authorization_url()))["code"]


def error_report(error):
    assert type(error) is ApiError, repr(error)
    return {
        "status": error.status_code,
        "message": error.message,
        "description": error.details["errors"][0]["description"],
        "has_tracking_id": error.tracking_id.startswith("ROUTER_"),
    }


# A login in one call.
api = WebexAPI(
    base_url=BASE,
    oauth_code=authorization_code(lambda url: visit(url, user="jane@example.com", decision="accept")),
    redirect_uri=WEBEX["redirect_uri"],
    **CLIENT,
)
person = api.people.me()
report("login", person=[person.emails[0], person.displayName, person.lastName, person.type])


def exchange(code):
    return api.access_tokens.get(code=code, redirect_uri=WEBEX["redirect_uri"], **CLIENT)


def refresh(tokens):
    return api.access_tokens.refresh(refresh_token=tokens.refresh_token, **CLIENT)


tokens = exchange(authorization_code())
report("exchange", lifetime=tokens.expires_in, user=token_owner(tokens.access_token))

new_tokens = refresh(tokens)
report(
    "refresh",
    is_new=new_tokens.access_token != tokens.access_token,
    keeps_refresh_token=new_tokens.refresh_token == tokens.refresh_token,
    users=[token_owner(new_tokens.access_token), token_owner(tokens.access_token)],
)

send_command("fault", tokens="OddTokenType")
report("OddTokenType", user=token_owner(refresh(tokens).access_token))

send_command("fault", tokens="MissingRefreshToken")
report("refresh_without_refresh_token", keeps_refresh_token=refresh(tokens).refresh_token == tokens.refresh_token)

used = authorization_code()
exchange(used)
report("used_code", **error_report(expect_error(exchange, used)))

valid = authorization_code()
report("wrong_secret", **error_report(with_other_secret(SECRET, lambda: expect_error(exchange, valid))))

report("denied", **callback_parameters(visit(authorization_url(), user="bob@example.com", decision="deny")))

code = authorization_code()
send_command("advance", seconds=500)
report("code_before_expiry", user=token_owner(exchange(code).access_token))
code = authorization_code()
send_command("advance", seconds=600)
report("expired_code", **error_report(expect_error(exchange, code)))


def outcome(refresh):
    error = expect_error(refresh, tokens)
    if isinstance(error, RateLimitError):
        return ["RateLimitError", error.status_code, error.retry_after]
    if isinstance(error, ApiError):
        # Without the URL and the tracking ID.
        return ["ApiError", error.status_code, error.message and error.message.split(" (")[0]]
    return [type(error).__name__]


report("error_outcomes", **error_outcomes(refresh, outcome))

api_without_waiting = WebexAPI(access_token=tokens.access_token, base_url=BASE, wait_on_rate_limit=False)
send_command("answer", at="person", error="TooManyRequests", retry_after=7)
error = expect_error(api_without_waiting.people.me)
report("api_rate_limit", retry_after=error.retry_after, user=api_without_waiting.people.me().emails[0])

send_command("expire")
report("expired_access_token", **error_report(expect_error(api.people.me)))
report("refresh_after_expiry", user=token_owner(refresh(tokens).access_token))

send_command("revoke")
report("revoked", **error_report(expect_error(refresh, tokens)))

tokens = exchange(authorization_code())
send_command("advance", seconds=tokens.expires_in)
report(
    "access_token_after_lifetime",
    user=token_owner(tokens.access_token),
    user_after_refresh=token_owner(refresh(tokens).access_token),
)
send_command("advance", seconds=tokens.refresh_token_expires_in - tokens.expires_in)
report("refresh_token_after_lifetime", **error_report(expect_error(refresh, tokens)))
