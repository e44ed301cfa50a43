"""MSAL's generic client. Its own door, `oidc_authority`, takes https alone; Webex's refusals, having no `error`, are tokens to it."""

import json
import logging

import msal
import requests
from msal.oauth2cli.oidc import Client

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
    parameters,
    tell,
    visit,
    who,
)

# It logs tracebacks of what it raises.
logging.disable(logging.CRITICAL)

SECRET = WEBEX["client_secret"]

error = caught(
    msal.ConfidentialClientApplication, WEBEX["client_id"], client_credential=SECRET, oidc_authority=WEBEX["base"]
)
tell("oidc_authority", error=type(error).__name__, wants_https="https url" in str(error))


class Answer:
    """An answer, as MSAL wants it of an HTTP client that is not its own."""

    def __init__(self, text):
        self.status_code, self.text, self.headers = 200, text, {}

    def raise_for_status(self):
        pass


class Https:
    """Brings the mock's discovery document to a client that asks for it at Webex's own address."""

    REAL = "https://webexapis.com/v1"

    def __init__(self):
        self.asked = []

    def get(self, url, **_):
        self.asked.append(url)
        text = requests.get(url.replace(self.REAL, WEBEX["base"])).text
        return Answer(text.replace(WEBEX["base"].removesuffix("/v1"), "https://idbroker-b-us.webex.com"))

    def post(self, url, **_):
        raise AssertionError(f"it goes on to {url}")

    def close(self):
        pass


https = Https()
error = caught(
    msal.ConfidentialClientApplication,
    WEBEX["client_id"],
    client_credential=SECRET,
    oidc_authority=Https.REAL,
    http_client=https,
)
tell("oidc_authority_at_webex", asked=https.asked, error=type(error).__name__, about_issuer="issuer" in str(error))

events = []


def client(**settings):
    configuration = {"authorization_endpoint": AUTHORIZE, "token_endpoint": TOKEN}
    return Client(configuration, WEBEX["client_id"], on_obtaining_tokens=events.append, **settings)


def begin(own, browser=approve, scope=SCOPES):
    flow = own.initiate_auth_code_flow(scope=scope.split(), redirect_uri=WEBEX["redirect_uri"])
    return flow, parameters(browser(flow["auth_uri"]))


def login(own, browser=approve, scope=SCOPES):
    return own.obtain_token_by_auth_code_flow(*begin(own, browser, scope))


def consents(url):
    return visit(url, user="jane@example.com", decision="accept")


basic = client(client_secret=SECRET)
# It adds `openid` to the scopes that it was told.
tokens = login(basic, consents)
tell(
    "login",
    fields=sorted(tokens),
    lives=[tokens["expires_in"], tokens["refresh_token_expires_in"]],
    scope=sorted(tokens["scope"].split()),
    who=who(tokens["access_token"]),
)

in_form = client(default_body={"client_secret": SECRET})
tell("secret_in_the_form", who=who(login(in_form)["access_token"]))

new = basic.obtain_token_by_refresh_token(tokens["refresh_token"])
tell(
    "refresh",
    is_new=new["access_token"] != tokens["access_token"],
    keeps_refresh_token=new["refresh_token"] == tokens["refresh_token"],
    who=[who(new["access_token"]), who(tokens["access_token"])],
)

tokens = login(basic, scope="openid email")
claims = tokens["id_token_claims"]
tell("id_token", claims=sorted(claims), issuer=claims["iss"] == WEBEX["issuers"][0])

order("fault", id_token="BadSignature")
tell("BadSignature", taken="id_token_claims" in login(basic, scope="openid"))

flow, callback = begin(basic, lambda url: visit(url, user="jane@example.com", decision="deny"))
tell("denied", **basic.obtain_token_by_auth_code_flow(flow, callback))

order("fault", callback="OtherState")
error = caught(login, basic)
tell("another_state", error=type(error).__name__, says=str(error).split(":")[0])


def refusal(call):
    """What it gives back, and whether it told the application that there are tokens."""
    before = len(events)
    kept = call()
    return {
        "keeps": sorted(kept),
        "says": [kept["message"], kept["errors"][0]["description"]],
        "told_as_tokens": len(events) > before,
    }


flow, callback = begin(basic)
basic.obtain_token_by_auth_code_flow(flow, callback)
tell("spent_code", **refusal(lambda: basic.obtain_token_by_auth_code_flow(flow, callback)))

flow, callback = begin(basic)
tell("wrong_secret", **hidden(SECRET, lambda: refusal(lambda: basic.obtain_token_by_auth_code_flow(flow, callback))))



# The device grant: it looks for `error` alone, so that a wait (428) ends its polling, with the refusal for tokens.
class Patient:
    """An HTTP client that says `error` where Webex says it with a status, or in other words; `on_wait` is called at a wait."""

    def __init__(self, on_wait=None):
        self.on_wait = on_wait

    def post(self, url, **request):
        answer = requests.post(url, **request)
        if answer.ok:
            return answer
        body = answer.json()
        code = "authorization_pending" if answer.status_code == 428 else body["errors"][0]["description"]
        if answer.status_code == 428 and self.on_wait:
            self.on_wait()
        return Answer(json.dumps({**body, "error": code}))

    def close(self):
        pass


def device(http_client=None):
    configuration = {"device_authorization_endpoint": DEVICE_START, "token_endpoint": DEVICE_TOKEN}
    own = Client(configuration, WEBEX["client_id"], client_secret=SECRET, http_client=http_client)
    flow = own.initiate_device_flow(SCOPES.split())
    # It would wait by the machine's clock.
    return own, {**flow, "interval": 0}


own, flow = device()
kept = own.obtain_token_by_device_flow(flow)
tell("device", keeps=sorted(kept), says=kept["message"], polls=order("counts")["device_polls"])

seen = []
own, flow = device(Patient(lambda: seen.append(answer_device(flow, "accept"))))
tokens = own.obtain_token_by_device_flow(flow)
tell("device_with_help", page=seen, who=who(tokens["access_token"]), polls=order("counts")["device_polls"])

own, flow = device(Patient(lambda: seen.append(answer_device(flow, "deny"))))
tell("device_denied_with_help", error=own.obtain_token_by_device_flow(flow)["error"], page=seen[1:])

tokens = login(basic)
order("revoke")
tell("revoked", **refusal(lambda: basic.obtain_token_by_refresh_token(tokens["refresh_token"])))
