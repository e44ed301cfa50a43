"""Authlib, on requests. Webex's refusals have no `error`, and without a hook it keeps them as if they were tokens."""

import time

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet

from telling import (
    AUTHORIZE,
    DEVICE_START,
    DEVICE_TOKEN,
    SCOPES,
    TOKEN,
    WEBEX,
    answer_device,
    approve,
    caught,
    hidden,
    order,
    tell,
    visit,
    who,
)

SECRET = WEBEX["client_secret"]


def client(hook=True, method="client_secret_basic", scope=SCOPES):
    session = OAuth2Session(
        WEBEX["client_id"],
        SECRET,
        redirect_uri=WEBEX["redirect_uri"],
        scope=scope,
        token_endpoint=TOKEN,
        token_endpoint_auth_method=method,
        code_challenge_method="S256",
    )
    if hook:
        # What an application at Webex needs: whatever is no success is no token.
        for name in ("access_token_response", "refresh_token_response"):
            session.register_compliance_hook(name, checked)
    return session


def checked(response):
    response.raise_for_status()
    return response


def begin(session, browser=approve, **parameters):
    """Up to the callback; gives what the exchange takes."""
    verifier = generate_token(48)
    url, state = session.create_authorization_url(AUTHORIZE, code_verifier=verifier, **parameters)
    return {"authorization_response": browser(url), "code_verifier": verifier, "state": state}


def login(session, browser=approve, **parameters):
    return session.fetch_token(TOKEN, **begin(session, browser, **parameters))


def refusal(error):
    """What Webex says, as an application with the hook gets to see it."""
    assert isinstance(error, requests.HTTPError), repr(error)
    body = error.response.json()
    return {"status": error.response.status_code, "says": body["message"], "about": body["errors"][0]["description"]}


def consents(url):
    return visit(url, user="jane@example.com", decision="accept")


session = client()
tokens = dict(login(session, consents))
tell(
    "login",
    fields=sorted(tokens),
    lives=[tokens["expires_in"], tokens["refresh_token_expires_in"]],
    scope=tokens["scope"],
    who=who(tokens["access_token"]),
)

tokens = dict(login(client(method="client_secret_post")))
tell("secret_in_the_form", who=who(tokens["access_token"]))

new = dict(session.refresh_token(TOKEN))
tell(
    "refresh",
    is_new=new["access_token"] != tokens["access_token"],
    keeps_refresh_token=new["refresh_token"] == tokens["refresh_token"],
    who=[who(new["access_token"]), who(tokens["access_token"])],
)

# It refreshes by itself, when its own clock says so.
session.token["expires_at"] = int(time.time()) - 1
answer = session.get(f"{WEBEX['base']}/people/me")
tell("refresh_by_itself", status=answer.status_code, is_new=session.token["access_token"] != new["access_token"])

order("fault", tokens="MissingRefreshToken")
kept = session.refresh_token(TOKEN)["refresh_token"]
tell("refresh_without_refresh_token", keeps_the_old_one=kept == tokens["refresh_token"])

# A token without a type is a bearer to it.
for name in ("MissingTokenType", "OddTokenType"):
    order("fault", tokens=name)
    login(session)
    tell(name, status=session.get(f"{WEBEX['base']}/people/me").status_code)

begun = begin(session)
session.fetch_token(TOKEN, **begun)
tell("spent_code", **refusal(caught(session.fetch_token, TOKEN, **begun)))

begun = begin(session)
tell("wrong_secret", **refusal(hidden(SECRET, lambda: caught(session.fetch_token, TOKEN, **begun))))

begun = begin(session)
order("fault", callback="OtherState")
error = caught(login, session)
tell("another_state", error=type(error).__name__)

# Without the hook, it takes each refusal for a token.
naive = client(hook=False)
login(naive)
order("revoke")
kept = dict(naive.refresh_token(TOKEN))
tell("revoked_without_hook", keeps=sorted(kept), says=kept["message"])

tell("revoked", **refusal(caught(session.refresh_token, TOKEN)), who=who(session.token["access_token"]))

# It sees no code in a callback that says `access_denied`, and asks for tokens of the client's own instead.
refused = begin(client(), lambda url: visit(url, user="jane@example.com", decision="deny"))
tell("denied", **refusal(caught(client().fetch_token, TOKEN, **refused)))
kept = dict(client(hook=False).fetch_token(TOKEN, **refused))
tell("denied_without_hook", keeps=sorted(kept), says=kept["errors"][0]["description"])

# OpenID Connect is the application's to do: the keys, the signature, the claims.
def identify(nonce, expected_nonce=None):
    tokens = login(client(scope="openid email"), nonce=nonce)
    keys = KeySet.import_key_set(requests.get(f"{WEBEX['base']}/verification").json())
    decoded = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"])
    options = {"iss": {"value": WEBEX["issuers"][0]}, "aud": {"value": WEBEX["client_id"]}}
    parameters = {"nonce": expected_nonce or nonce, "client_id": WEBEX["client_id"]}
    claims = CodeIDToken(decoded.claims, decoded.header, options, parameters)
    claims.validate()
    session = client()
    session.token = tokens
    told = session.get(f"{WEBEX['base']}/userinfo").json()
    assert told["sub"] == claims["sub"]
    return claims, told


claims, told = identify("n-1")
discovered = requests.get(f"{WEBEX['base']}/.well-known/openid-configuration").json()
tell(
    "id_token",
    claims=sorted(claims),
    issuer=claims["iss"] == WEBEX["issuers"][0],
    discovered_issuer=discovered["issuer"] == claims["iss"],
    userinfo={"email": told["email"], "email_verified": told["email_verified"]},
)
tell("another_nonce", error=type(caught(identify, "n-2", "n-3")).__name__)
for name in ("BadSignature", "WrongIssuer", "WrongAudience", "Expired", "Unsigned", "UnknownKey"):
    order("fault", id_token=name)
    error = caught(identify, "n-4")
    tell(name, error=type(error).__name__)

# The device grant is a grant like others to it: the application polls, and a wait (428) is an HTTP error to the hook.
device = client()


def start():
    form = {"client_id": WEBEX["client_id"], "scope": SCOPES}
    return requests.post(DEVICE_START, form).json()


def poll(session, started):
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": WEBEX["client_id"]}
    return session.fetch_token(DEVICE_TOKEN, device_code=started["device_code"], **grant)


started = start()
pending = refusal(caught(poll, device, started))
seen = answer_device(started, "accept")
tokens = dict(poll(device, started))
tell("device", pending=pending, page=seen, fields=sorted(tokens), who=who(tokens["access_token"]))
order("advance", seconds=2)
tell("device_spent", **refusal(caught(poll, device, started)))
started = start()
caught(poll, device, started)
tell("device_too_fast", **refusal(caught(poll, device, started)))
tell("device_without_hook", keeps=sorted(dict(poll(client(hook=False), start()))))
started = start()
tell("device_denied", page=answer_device(started, "deny"), **refusal(caught(poll, device, started)))
in_form = client(method="client_secret_post")
tell("device_secret_in_the_form", **refusal(caught(poll, in_form, start())))
