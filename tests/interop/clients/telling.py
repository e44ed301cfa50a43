"""What the Python clients share: the mock that they talk to, and how they tell what they see."""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

WEBEX = json.loads(os.environ["WEBEX"])
AUTHORIZE = WEBEX["base"] + "/authorize"
TOKEN = WEBEX["base"] + "/access_token"
DEVICE_START = WEBEX["base"] + "/device/authorize"
DEVICE_TOKEN = WEBEX["base"] + "/device/token"
SCOPES = WEBEX["scopes"]


def order(name, **what):
    """Gives the mock an order, and gives its answer."""
    request = urllib.request.Request(f"{WEBEX['control']}/{name}", json.dumps(what).encode())
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def approve(url):
    """The user consents, without a page; gives the callback."""
    return order("approve", url=url)["callback"]


def visit(url, **answers):
    """The user goes through the pages from this one on, and answers them; gives the callback, or the last page."""
    print(json.dumps({"visit": str(url), "answers": answers}), flush=True)
    return json.loads(sys.stdin.readline())


def tell(story, **what):
    print(json.dumps({"story": story, **what}), flush=True)


def parameters(callback):
    """What a callback brings."""
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(callback).query))


def who(access_token):
    """Whose access token this is, or the status with which it is refused."""
    request = urllib.request.Request(f"{WEBEX['base']}/people/me", headers={"Authorization": f"Bearer {access_token}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["emails"][0]
    except urllib.error.HTTPError as error:
        return error.code


def caught(call, *arguments, **named):
    """The exception that a call ends with."""
    try:
        outcome = call(*arguments, **named)
    except Exception as error:
        return error
    raise AssertionError(f"it succeeds: {outcome!r}")


def answer_device(started, decision):
    """The user follows the link of a device, and answers; gives whether the last page is the one for that answer."""
    # Jane has consented before, and is not asked again.
    user = {"accept": "jane@example.com", "deny": "bob@example.com"}[decision]
    page = visit(started["verification_uri_complete"], user=user, decision=decision)
    # Webex's clock goes on in the place of the client's waiting.
    order("advance", seconds=started["interval"] or 2)
    return {"accept": "Your device is signed in", "deny": "Your device is not signed in"}[decision] in page


# Every shape in which Webex writes an error.
SHAPES = [
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


def bad_answers(refresh, outcome):
    """What `outcome` makes of a refresh for each answer that is no success: a dead refresh token in each shape, and what passes."""
    ordered = {shape: {"error": "DeadRefreshToken", "shape": shape} for shape in SHAPES}
    ordered["rate_limit"] = {"error": "TooManyRequests", "retry_after": 7}
    ordered["outage"] = {"status": 503, "html": True, "retry_after": 7}
    ordered["portal"] = {"status": 200, "html": True}
    ordered["lost"] = {"connection": "lost"}
    told = {}
    for name, answer in ordered.items():
        order("answer", at="refresh", **answer)
        told[name] = outcome(refresh)
    return told


def hidden(client_secret, call):
    """Calls while the integration has another secret than the client."""
    order("secret", client_secret="another")
    try:
        return call()
    finally:
        order("secret", client_secret=client_secret)
