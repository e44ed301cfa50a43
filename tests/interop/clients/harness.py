"""The harness of the Python clients: control of the mock, the simulated user, and the report of results."""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

WEBEX = json.loads(os.environ["WEBEX"])
AUTHORIZE = WEBEX["base"] + "/authorize"
TOKEN = WEBEX["base"] + "/access_token"
DEVICE_AUTHORIZATION = WEBEX["base"] + "/device/authorize"
DEVICE_TOKEN = WEBEX["base"] + "/device/token"
SCOPES = WEBEX["scopes"]


def send_command(name, **parameters):
    """Sends a control command to the mock and returns its result."""
    request = urllib.request.Request(f"{WEBEX['control']}/{name}", json.dumps(parameters).encode())
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def approve(url):
    """Approves an authorization request without a page, and returns the callback URL."""
    return send_command("approve", url=url)["callback"]


def visit(url, **inputs):
    """Opens a page in a browser, fills in its forms, and returns the callback URL or the last page."""
    print(json.dumps({"visit": str(url), "inputs": inputs}), flush=True)
    return json.loads(sys.stdin.readline())


def report(result, **values):
    """Reports a result, which the test compares with the expected one."""
    print(json.dumps({"result": result, **values}), flush=True)


def callback_parameters(callback):
    """Returns the query parameters of a callback URL."""
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(callback).query))


def token_owner(access_token):
    """Returns the email address of the user of an access token, or the status if the token is rejected."""
    request = urllib.request.Request(f"{WEBEX['base']}/people/me", headers={"Authorization": f"Bearer {access_token}"})
    try:
        with urllib.request.urlopen(request) as response:
            return json.load(response)["emails"][0]
    except urllib.error.HTTPError as error:
        return error.code


def expect_error(call, *arguments, **keywords):
    """Returns the exception that a call raises."""
    try:
        outcome = call(*arguments, **keywords)
    except Exception as error:
        return error
    raise AssertionError(f"the call succeeds: {outcome!r}")


def complete_device_login(device, decision):
    """Opens the verification page as a user and decides. Returns `True` if the last page confirms the decision."""
    # Jane has consented before, so the mock does not ask again.
    user = {"accept": "jane@example.com", "deny": "bob@example.com"}[decision]
    page = visit(device["verification_uri_complete"], user=user, decision=decision)
    # The mock's clock advances, because the client does not wait.
    send_command("advance", seconds=device["interval"] or 2)
    return {"accept": "Your device is signed in", "deny": "Your device is not signed in"}[decision] in page


# All error formats of Webex.
ERROR_FORMATS = [
    "Documented",
    "Numbered",
    "Broker",
    "BrokerWithUri",
    "Gateway",
    "Message",
    "Upstream",
    "StatusName",
    "Empty",
    "Page",
]


def error_outcomes(refresh, outcome):
    """Returns `outcome(refresh)` for each error response: an invalid refresh token in each format, and temporary failures."""
    responses = {name: {"error": "DeadRefreshToken", "shape": name} for name in ERROR_FORMATS}
    responses["rate_limit"] = {"error": "TooManyRequests", "retry_after": 7}
    responses["outage"] = {"status": 503, "html": True, "retry_after": 7}
    responses["captive_portal"] = {"status": 200, "html": True}
    responses["response_lost"] = {"connection": "lost"}
    outcomes = {}
    for name, response in responses.items():
        send_command("answer", at="refresh", **response)
        outcomes[name] = outcome(refresh)
    return outcomes


def with_other_secret(client_secret, call):
    """Runs `call` while the integration has another secret than the client."""
    send_command("secret", client_secret="another")
    try:
        return call()
    finally:
        send_command("secret", client_secret=client_secret)
