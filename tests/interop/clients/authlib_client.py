"""Authlib with requests. Webex's error responses have no `error`; without a hook, Authlib treats them as tokens."""

import time

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet

from harness import (
    AUTHORIZE,
    DEVICE_AUTHORIZATION,
    DEVICE_TOKEN,
    SCOPES,
    TOKEN,
    WEBEX,
    approve,
    complete_device_login,
    error_outcomes,
    expect_error,
    report,
    send_command,
    token_owner,
    visit,
    with_other_secret,
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
        # Applications for Webex need this hook: a response without a success status contains no tokens.
        for name in ("access_token_response", "refresh_token_response"):
            session.register_compliance_hook(name, raise_for_status)
    return session


def raise_for_status(response):
    response.raise_for_status()
    return response


def authorize(session, browser=approve, **parameters):
    """Runs a login up to the callback, and returns the arguments of the code exchange."""
    verifier = generate_token(48)
    url, state = session.create_authorization_url(AUTHORIZE, code_verifier=verifier, **parameters)
    return {"authorization_response": browser(url), "code_verifier": verifier, "state": state}


def log_in(session, browser=approve, **parameters):
    return session.fetch_token(TOKEN, **authorize(session, browser, **parameters))


def error_report(error):
    """Returns the details of an error response, as an application with the hook receives them."""
    assert isinstance(error, requests.HTTPError), repr(error)
    body = error.response.json()
    description = body["errors"][0]["description"]
    return {"status": error.response.status_code, "message": body["message"], "description": description}


def accept_consent(url):
    return visit(url, user="jane@example.com", decision="accept")


session = client()
tokens = dict(log_in(session, accept_consent))
report(
    "login",
    fields=sorted(tokens),
    lifetimes=[tokens["expires_in"], tokens["refresh_token_expires_in"]],
    scope=tokens["scope"],
    user=token_owner(tokens["access_token"]),
)

tokens = dict(log_in(client(method="client_secret_post")))
report("secret_in_body", user=token_owner(tokens["access_token"]))

new_tokens = dict(session.refresh_token(TOKEN))
report(
    "refresh",
    is_new=new_tokens["access_token"] != tokens["access_token"],
    keeps_refresh_token=new_tokens["refresh_token"] == tokens["refresh_token"],
    users=[token_owner(new_tokens["access_token"]), token_owner(tokens["access_token"])],
)

# Authlib refreshes automatically when the token has expired by the local clock.
session.token["expires_at"] = int(time.time()) - 1
response = session.get(f"{WEBEX['base']}/people/me")
report("automatic_refresh", status=response.status_code, is_new=session.token["access_token"] != new_tokens["access_token"])

send_command("fault", tokens="MissingRefreshToken")
refresh_token = session.refresh_token(TOKEN)["refresh_token"]
report("refresh_without_refresh_token", keeps_refresh_token=refresh_token == tokens["refresh_token"])

# Authlib treats a token without a type as a bearer token.
for name in ("MissingTokenType", "OddTokenType"):
    send_command("fault", tokens=name)
    log_in(session)
    report(name, status=session.get(f"{WEBEX['base']}/people/me").status_code)

arguments = authorize(session)
session.fetch_token(TOKEN, **arguments)
report("used_code", **error_report(expect_error(session.fetch_token, TOKEN, **arguments)))

arguments = authorize(session)
report("wrong_secret", **error_report(with_other_secret(SECRET, lambda: expect_error(session.fetch_token, TOKEN, **arguments))))

arguments = authorize(session)
send_command("fault", callback="OtherState")
error = expect_error(log_in, session)
report("state_mismatch", error=type(error).__name__)

# Without the hook, Authlib treats error responses as tokens unless they have `error` or are not JSON.
session_without_hook = client(hook=False)
log_in(session_without_hook)
refresh_token = session_without_hook.token["refresh_token"]


def outcome(refresh):
    try:
        return sorted(refresh())
    except requests.HTTPError as error:
        return ["HTTPError", error.response.status_code, error.response.headers.get("Retry-After")]
    except Exception as error:
        return [type(error).__name__, getattr(error, "error", None)]


for name, own_session in (("error_outcomes_without_hook", session_without_hook), ("error_outcomes", session)):
    refresh = lambda: dict(own_session.refresh_token(TOKEN, refresh_token=refresh_token))
    report(name, **error_outcomes(refresh, outcome))

send_command("revoke")
tokens = dict(session_without_hook.refresh_token(TOKEN))
report("revoked_without_hook", fields=sorted(tokens), message=tokens["message"])

report("revoked", **error_report(expect_error(session.refresh_token, TOKEN)), user=token_owner(session.token["access_token"]))

# If a callback has `access_denied` instead of a code, Authlib requests tokens with the grant `client_credentials`.
denied = authorize(client(), lambda url: visit(url, user="bob@example.com", decision="deny"))
report("denied", **error_report(expect_error(client().fetch_token, TOKEN, **denied)))
tokens = dict(client(hook=False).fetch_token(TOKEN, **denied))
report("denied_without_hook", fields=sorted(tokens), message=tokens["errors"][0]["description"])

# The application fetches the keys and verifies the signature and the claims.
def identify(nonce, expected_nonce=None):
    tokens = log_in(client(scope="openid email"), nonce=nonce)
    keys = KeySet.import_key_set(requests.get(f"{WEBEX['base']}/verification").json())
    decoded = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"])
    options = {"iss": {"value": WEBEX["issuers"][0]}, "aud": {"value": WEBEX["client_id"]}}
    parameters = {"nonce": expected_nonce or nonce, "client_id": WEBEX["client_id"]}
    claims = CodeIDToken(decoded.claims, decoded.header, options, parameters)
    claims.validate()
    session = client()
    session.token = tokens
    user_info = session.get(f"{WEBEX['base']}/userinfo").json()
    assert user_info["sub"] == claims["sub"]
    return claims, user_info


claims, user_info = identify("n-1")
discovered = requests.get(f"{WEBEX['base']}/.well-known/openid-configuration").json()
report(
    "id_token",
    claims=sorted(claims),
    issuer=claims["iss"] == WEBEX["issuers"][0],
    discovered_issuer=discovered["issuer"] == claims["iss"],
    userinfo={"email": user_info["email"], "email_verified": user_info["email_verified"]},
)
report("nonce_mismatch", error=type(expect_error(identify, "n-2", "n-3")).__name__)
for name in ("BadSignature", "WrongIssuer", "WrongAudience", "Expired", "Unsigned", "UnknownKey"):
    send_command("fault", id_token=name)
    error = expect_error(identify, "n-4")
    report(name, error=type(error).__name__)

# Authlib has no polling for the device grant. The application polls, and a pending login (428) is an HTTP error.
device_session = client()


def start_device_login():
    form = {"client_id": WEBEX["client_id"], "scope": SCOPES}
    return requests.post(DEVICE_AUTHORIZATION, form).json()


def poll(session, device):
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": WEBEX["client_id"]}
    return session.fetch_token(DEVICE_TOKEN, device_code=device["device_code"], **grant)


device = start_device_login()
pending = error_report(expect_error(poll, device_session, device))
is_confirmed = complete_device_login(device, "accept")
tokens = dict(poll(device_session, device))
report("device", pending=pending, is_confirmed=is_confirmed, fields=sorted(tokens), user=token_owner(tokens["access_token"]))
send_command("advance", seconds=2)
report("used_device_code", **error_report(expect_error(poll, device_session, device)))
device = start_device_login()
send_command("fault", device_poll="SlowDown(Description)")
report("device_slow_down", **error_report(expect_error(poll, device_session, device)))
report("device_without_hook", fields=sorted(dict(poll(client(hook=False), start_device_login()))))
device = start_device_login()
is_confirmed = complete_device_login(device, "deny")
report("device_denied", is_confirmed=is_confirmed, **error_report(expect_error(poll, device_session, device)))
session_with_post = client(method="client_secret_post")
report("device_secret_in_body", **error_report(expect_error(poll, session_with_post, start_device_login())))
