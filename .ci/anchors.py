"""Checks that each link with an anchor, within the documentation of this crate, leads to an element that exists."""

import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1]).resolve()
pages = {path: path.read_text() for path in root.rglob("*.html")}
ids = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages.items()}
# Line ranges of source views are handled by a script of rustdoc, which also links to the hidden methods of traits.
def is_generated(anchor):
    return re.fullmatch(r"[\d-]+", anchor) or anchor.startswith("tymethod.")


dead = [
    f"{path.relative_to(root)}: {target}#{anchor}"
    for path, text in pages.items()
    for target, anchor in re.findall(r'href="([^":#]*)#([^"]+)"', text)
    for page in [(path.parent / target).resolve() if target else path]
    if page in ids and anchor not in ids[page] and not is_generated(anchor)
]
print(f"{len(pages)} pages, {len(dead)} dead anchors")
print(*sorted(set(dead)), sep="\n")
sys.exit(bool(dead))
