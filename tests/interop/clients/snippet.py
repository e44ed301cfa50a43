import json, subprocess, sys  # pip install authlib requests
import requests
from authlib.integrations.requests_client import OAuth2Session

command = [sys.argv[1], "--json", "--until-stdin-closes"]
mock = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
webex = json.loads(mock.stdout.readline())
base, control, redirect_uri = webex["base"], webex["control"], webex["redirect_uri"]
credentials = webex["client_id"], webex["client_secret"]
app = OAuth2Session(*credentials, redirect_uri=redirect_uri, scope="spark:all")

url, state = app.create_authorization_url(f"{base}/authorize")
callback = requests.post(f"{control}/approve", json={"url": url}).json()["callback"]
app.fetch_token(f"{base}/access_token", authorization_response=callback, state=state)
print(app.get(f"{base}/people/me").json()["emails"])  # ['jane@example.com']
requests.post(f"{control}/revoke")
print(app.get(f"{base}/people/me").status_code)  # 401
