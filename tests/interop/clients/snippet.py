# pip install authlib requests
import json, subprocess, sys
import requests
from authlib.integrations.requests_client import OAuth2Session

mock = subprocess.Popen([sys.argv[1], "--json", "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
webex = json.loads(mock.stdout.readline())
app = OAuth2Session(webex["client_id"], webex["client_secret"], redirect_uri=webex["redirect_uri"], scope="spark:all")
url, state = app.create_authorization_url(webex["base"] + "/authorize")
callback = requests.post(webex["control"] + "/approve", json={"url": url}).json()["callback"]
app.fetch_token(webex["base"] + "/access_token", authorization_response=callback, state=state)
assert app.get(webex["base"] + "/people/me").json()["emails"] == ["jane@example.com"]
requests.post(webex["control"] + "/revoke", json={})
assert app.get(webex["base"] + "/people/me").status_code == 401
