"""Prints the line coverage of the parts whose faults cost a session or a secret, and fails below 95 %."""

import json
import pathlib
import sys

MIN_PERCENT = 95.0
PARTS = {
    "token refresh": ["sessions/refresh/"],
    "error responses": ["protocol/error_response/", "json/"],
    "callback": ["protocol/authorization/callback.rs", "login/loopback/pasted.rs", "value_check.rs"],
    "ID token verifier": ["protocol/oidc/"],
    "file store": ["store/file/", "store/disk/"],
}


def main(report: str) -> int:
    source = pathlib.Path("src").resolve()
    files = json.loads(pathlib.Path(report).read_text())["data"][0]["files"]
    is_low = False
    for part, prefixes in PARTS.items():
        count = covered = 0
        for file in files:
            path = pathlib.Path(file["filename"])
            if not path.is_relative_to(source) or {"tests", "tests.rs"} & set(path.relative_to(source).parts):
                continue
            name = path.relative_to(source).as_posix()
            if any(name == prefix or prefix.endswith("/") and name.startswith(prefix) for prefix in prefixes):
                lines = file["summary"]["lines"]
                count += lines["count"]
                covered += lines["covered"]
                if lines["percent"] < MIN_PERCENT:
                    print(f"  {name}: {lines['percent']:.1f} %")
        if count == 0:
            print(f"{part}: no such files")
            return 1
        percent = 100 * covered / count
        is_low |= percent < MIN_PERCENT
        print(f"{part}: {percent:.1f} % of {count} lines")
    return int(is_low)


sys.exit(main(sys.argv[1]))
