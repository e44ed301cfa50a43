"""The generic client of MSAL. Webex's error responses have no `error`; MSAL treats them as tokens."""

import json
import logging

import msal
import requests
from msal.oauth2cli.oidc import Client

from harness import (
    AUTHORIZE,
    DEVICE_AUTHORIZATION,
    DEVICE_TOKEN,
    SCOPES,
    TOKEN,
    WEBEX,
    approve,
    callback_parameters,
    complete_device_login,
    error_outcomes,
    expect_error,
    report,
    send_command,
    token_owner,
    visit,
    with_other_secret,
)

# MSAL logs tracebacks of the exceptions that it raises.
logging.disable(logging.CRITICAL)

SECRET = WEBEX["client_secret"]

error = expect_error(
    msal.ConfidentialClientApplication, WEBEX["client_id"], client_credential=SECRET, oidc_authority=WEBEX["base"]
)
report("oidc_authority", error=type(error).__name__, requires_https="https url" in str(error))


class Response:
    """A response of a custom HTTP client for MSAL."""

    def __init__(self, text):
        self.status_code, self.text, self.headers = 200, text, {}

    def raise_for_status(self):
        pass


class DiscoveryHttpClient:
    """An HTTP client that returns the mock's discovery document for the URL of Webex."""

    WEBEX_BASE = "https://webexapis.com/v1"

    def __init__(self):
        self.requested_urls = []

    def get(self, url, **_):
        self.requested_urls.append(url)
        text = requests.get(url.replace(self.WEBEX_BASE, WEBEX["base"])).text
        return Response(text.replace(WEBEX["base"].removesuffix("/v1"), "https://idbroker-b-us.webex.com"))

    def post(self, url, **_):
        raise AssertionError(f"unexpected request to {url}")

    def close(self):
        pass


http_client = DiscoveryHttpClient()
error = expect_error(
    msal.ConfidentialClientApplication,
    WEBEX["client_id"],
    client_credential=SECRET,
    oidc_authority=DiscoveryHttpClient.WEBEX_BASE,
    http_client=http_client,
)
report(
    "oidc_authority_at_webex",
    requested_urls=http_client.requested_urls,
    error=type(error).__name__,
    mentions_issuer="issuer" in str(error),
)

token_events = []


def client(**settings):
    configuration = {"authorization_endpoint": AUTHORIZE, "token_endpoint": TOKEN}
    return Client(configuration, WEBEX["client_id"], on_obtaining_tokens=token_events.append, **settings)


def authorize(application, browser=approve, scope=SCOPES):
    flow = application.initiate_auth_code_flow(scope=scope.split(), redirect_uri=WEBEX["redirect_uri"])
    return flow, callback_parameters(browser(flow["auth_uri"]))


def log_in(application, browser=approve, scope=SCOPES):
    return application.obtain_token_by_auth_code_flow(*authorize(application, browser, scope))


def accept_consent(url):
    return visit(url, user="jane@example.com", decision="accept")


basic = client(client_secret=SECRET)
# MSAL adds `openid` to the scopes.
tokens = log_in(basic, accept_consent)
report(
    "login",
    fields=sorted(tokens),
    lifetimes=[tokens["expires_in"], tokens["refresh_token_expires_in"]],
    scope=sorted(tokens["scope"].split()),
    user=token_owner(tokens["access_token"]),
)

post = client(default_body={"client_secret": SECRET})
report("secret_in_body", user=token_owner(log_in(post)["access_token"]))

new_tokens = basic.obtain_token_by_refresh_token(tokens["refresh_token"])
report(
    "refresh",
    is_new=new_tokens["access_token"] != tokens["access_token"],
    keeps_refresh_token=new_tokens["refresh_token"] == tokens["refresh_token"],
    users=[token_owner(new_tokens["access_token"]), token_owner(tokens["access_token"])],
)

tokens = log_in(basic, scope="openid email")
claims = tokens["id_token_claims"]
report("id_token", claims=sorted(claims), issuer=claims["iss"] == WEBEX["issuers"][0])

send_command("fault", id_token="BadSignature")
report("BadSignature", accepted="id_token_claims" in log_in(basic, scope="openid"))

flow, callback = authorize(basic, lambda url: visit(url, user="bob@example.com", decision="deny"))
report("denied", **basic.obtain_token_by_auth_code_flow(flow, callback))

send_command("fault", callback="OtherState")
error = expect_error(log_in, basic)
report("state_mismatch", error=type(error).__name__, message=str(error).split(":")[0])


def error_report(call):
    """Returns the details of an error response, and whether MSAL notified the application of tokens."""
    before = len(token_events)
    tokens = call()
    return {
        "fields": sorted(tokens),
        "message": [tokens["message"], tokens["errors"][0]["description"]],
        "reported_as_tokens": len(token_events) > before,
    }


flow, callback = authorize(basic)
basic.obtain_token_by_auth_code_flow(flow, callback)
report("used_code", **error_report(lambda: basic.obtain_token_by_auth_code_flow(flow, callback)))

flow, callback = authorize(basic)
report(
    "wrong_secret",
    **with_other_secret(SECRET, lambda: error_report(lambda: basic.obtain_token_by_auth_code_flow(flow, callback))),
)


# MSAL checks only `error` while it polls. A pending login (428) ends its polling, and the error response is treated as tokens.
class DeviceHttpClient:
    """An HTTP client that adds the standard `error` to error responses. `on_pending` is called while the login is pending."""

    def __init__(self, on_pending=None):
        self.on_pending = on_pending

    def post(self, url, **request):
        response = requests.post(url, **request)
        if response.ok:
            return response
        body = response.json()
        code = "authorization_pending" if response.status_code == 428 else body["errors"][0]["description"]
        if response.status_code == 428 and self.on_pending:
            self.on_pending()
        return Response(json.dumps({**body, "error": code}))

    def close(self):
        pass


def start_device_login(http_client=None):
    configuration = {"device_authorization_endpoint": DEVICE_AUTHORIZATION, "token_endpoint": DEVICE_TOKEN}
    application = Client(configuration, WEBEX["client_id"], client_secret=SECRET, http_client=http_client)
    flow = application.initiate_device_flow(SCOPES.split())
    # MSAL would sleep in real time.
    return application, {**flow, "interval": 0}


application, flow = start_device_login()
tokens = application.obtain_token_by_device_flow(flow)
report("device", fields=sorted(tokens), message=tokens["message"], polls=send_command("counts")["device_polls"])

confirmations = []
http_client = DeviceHttpClient(lambda: confirmations.append(complete_device_login(flow, "accept")))
application, flow = start_device_login(http_client)
tokens = application.obtain_token_by_device_flow(flow)
report(
    "device_with_adapter",
    is_confirmed=confirmations,
    user=token_owner(tokens["access_token"]),
    polls=send_command("counts")["device_polls"],
)

http_client = DeviceHttpClient(lambda: confirmations.append(complete_device_login(flow, "deny")))
application, flow = start_device_login(http_client)
error = application.obtain_token_by_device_flow(flow)["error"]
report("device_denied_with_adapter", error=error, is_confirmed=confirmations[1:])

tokens = log_in(basic)


def outcome(refresh):
    try:
        tokens = refresh()
    except requests.HTTPError as error:
        return ["HTTPError", error.response.status_code]
    except Exception as error:
        return [type(error).__name__]
    return tokens.get("error") or sorted(tokens)


report("error_outcomes", **error_outcomes(lambda: basic.obtain_token_by_refresh_token(tokens["refresh_token"]), outcome))

send_command("revoke")
report("revoked", **error_report(lambda: basic.obtain_token_by_refresh_token(tokens["refresh_token"])))
