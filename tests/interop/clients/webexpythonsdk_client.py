"""webexpythonsdk, what most Python programs for Webex use: it exchanges and refreshes, and leaves the browser to the application."""

from urllib.parse import urlencode

from webexpythonsdk import WebexAPI
from webexpythonsdk.exceptions import ApiError

from telling import AUTHORIZE, SCOPES, WEBEX, approve, caught, hidden, order, parameters, tell, visit, who

SECRET = WEBEX["client_secret"]
# It joins this and the endpoints as a browser joins links: without the slash it would ask at another address.
BASE = WEBEX["base"] + "/"
CLIENT = {"client_id": WEBEX["client_id"], "client_secret": SECRET}


def authorization_url():
    request = {"client_id": WEBEX["client_id"], "redirect_uri": WEBEX["redirect_uri"], "scope": SCOPES}
    return f"{AUTHORIZE}?{urlencode({'response_type': 'code', 'state': 'a state', **request})}"


def code(browser=approve):
    return parameters(browser(authorization_url()))["code"]


def refusal(error):
    assert type(error) is ApiError, repr(error)
    tracked = error.tracking_id.startswith("ROUTER_")
    return {"status": error.status_code, "says": error.message, "about": error.details["errors"][0]["description"], "tracked": tracked}


# A login in one call.
api = WebexAPI(
    base_url=BASE,
    oauth_code=code(lambda url: visit(url, user="jane@example.com", decision="accept")),
    redirect_uri=WEBEX["redirect_uri"],
    **CLIENT,
)
person = api.people.me()
tell("login", who=[person.emails[0], person.displayName, person.lastName, person.type])


def exchange(code):
    return api.access_tokens.get(code=code, redirect_uri=WEBEX["redirect_uri"], **CLIENT)


def refresh(tokens):
    return api.access_tokens.refresh(refresh_token=tokens.refresh_token, **CLIENT)


tokens = exchange(code())
tell("exchange", lives=tokens.expires_in, who=who(tokens.access_token))

new = refresh(tokens)
tell(
    "refresh",
    is_new=new.access_token != tokens.access_token,
    keeps_refresh_token=new.refresh_token == tokens.refresh_token,
    who=[who(new.access_token), who(tokens.access_token)],
)

order("fault", tokens="OddTokenType")
tell("OddTokenType", who=who(refresh(tokens).access_token))

order("fault", tokens="MissingRefreshToken")
tell("refresh_without_refresh_token", keeps_the_old_one=refresh(tokens).refresh_token == tokens.refresh_token)

spent = code()
exchange(spent)
tell("spent_code", **refusal(caught(exchange, spent)))

good = code()
tell("wrong_secret", **refusal(hidden(SECRET, lambda: caught(exchange, good))))

tell("denied", **parameters(visit(authorization_url(), user="jane@example.com", decision="deny")))

late = code()
order("advance", seconds=599)
tell("late_code", who=who(exchange(late).access_token))
late = code()
order("advance", seconds=600)
tell("expired_code", **refusal(caught(exchange, late)))

order("expire")
tell("expired_access_token", **refusal(caught(api.people.me)))
tell("refresh_after_that", who=who(refresh(tokens).access_token))

order("revoke")
tell("revoked", **refusal(caught(refresh, tokens)))

tokens = exchange(code())
order("advance", seconds=tokens.expires_in)
tell("old_access_token", who=who(tokens.access_token), and_after_a_refresh=who(refresh(tokens).access_token))
order("advance", seconds=tokens.refresh_token_expires_in - tokens.expires_in)
tell("old_refresh_token", **refusal(caught(refresh, tokens)))
