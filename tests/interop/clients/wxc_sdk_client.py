"""wxc_sdk, by an engineer of Cisco's: its `Integration`, which sends no PKCE."""

import datetime

import requests
from wxc_sdk import WebexSimpleApi
from wxc_sdk.integration import Integration
from wxc_sdk.rest import RestSession

from telling import AUTHORIZE, SCOPES, TOKEN, WEBEX, approve, caught, hidden, order, parameters, tell, visit, who

SECRET = WEBEX["client_secret"]

# It has no setting for this address.
RestSession.BASE = WEBEX["base"]

integration = Integration(
    client_id=WEBEX["client_id"],
    client_secret=SECRET,
    scopes=SCOPES,
    redirect_url=WEBEX["redirect_uri"],
    auth_service=AUTHORIZE,
    token_service=TOKEN,
)


def code(browser=approve):
    callback = parameters(browser(integration.auth_url(state="a state")))
    assert callback["state"] == "a state"
    return callback["code"]


def refusal(error):
    assert isinstance(error, requests.HTTPError), repr(error)
    body = error.response.json()
    return {"status": error.response.status_code, "says": body["message"], "about": body["errors"][0]["description"]}


tokens = integration.tokens_from_code(code(lambda url: visit(url, user="jane@example.com", decision="accept")))
with WebexSimpleApi(tokens=tokens) as api:
    person = api.people.me()
tell(
    "login",
    lives=[tokens.expires_in, tokens.refresh_token_expires_in],
    scope=tokens.scope,
    who=[person.emails[0], person.display_name, person.first_name],
    days=round(tokens.remaining / 86400),
)

old = tokens.model_copy()
# It refreshes what lives less than five minutes more.
tokens.expires_at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=299)
changed = integration.validate_tokens(tokens)
tell(
    "refresh",
    changed=changed,
    is_new=tokens.access_token != old.access_token,
    keeps_refresh_token=tokens.refresh_token == old.refresh_token,
    who=[who(tokens.access_token), who(old.access_token)],
)
tell("no_refresh", changed=integration.validate_tokens(tokens))

order("fault", tokens="OddTokenType")
tell("OddTokenType", error=type(caught(integration.refresh, tokens)).__name__)
order("fault", tokens="MissingTokenType")
integration.refresh(tokens)
tell("MissingTokenType", who=who(tokens.access_token))

order("fault", tokens="MissingRefreshToken")
keeper = old.model_copy()
integration.refresh(keeper)
tell("refresh_without_refresh_token", keeps_the_old_one=keeper.refresh_token == old.refresh_token)

callback = parameters(visit(integration.auth_url(state="a state"), user="jane@example.com", decision="deny"))
tell("denied", **callback)

spent = code()
integration.tokens_from_code(spent)
tell("spent_code", **refusal(caught(integration.tokens_from_code, spent)))

good = code()
tell("wrong_secret", **refusal(hidden(SECRET, lambda: caught(integration.tokens_from_code, good))))

# A refusal costs the application its access token, though that one is good: a wrong secret is not the user's fault.
victim = tokens.model_copy()
hidden(SECRET, lambda: caught(integration.refresh, victim))
tell("wrong_secret_at_refresh", access_token=victim.access_token, who=who(tokens.access_token))

order("revoke")
tell("revoked", **refusal(caught(integration.refresh, tokens)), access_token=tokens.access_token)
with WebexSimpleApi(tokens=old) as api:
    error = caught(api.people.me)
tell("revoked_access_token", error=type(error).__name__, status=error.response.status_code, says=error.detail.message)
