#!/usr/bin/env python3
"""pages.py HTML_DIR SOURCE_DIR

Links of the pages in a folder lead to files of it, and every document and every
public header of the sources has a page with its title.
"""
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """Title and local links of a page."""

    def __init__(self, path):
        super().__init__()
        self.title, self.links, self._in_title = "", set(), False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self._in_title = tag == "title"
        for name, value in attrs:
            if name in ("href", "src") and value:
                parts = urlsplit(value)
                if not parts.scheme and not parts.netloc and parts.path:
                    self.links.add(unquote(parts.path))

    def handle_endtag(self, tag):
        self._in_title = False

    def handle_data(self, data):
        if self._in_title:
            self.title += data


def plain(text):
    return " ".join(re.sub(r"[`*_\\]", "", text).split())


def heading(path):
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.startswith("# "):
            return plain(line[2:])
    return ""


def main():
    html, source = Path(sys.argv[1]), Path(sys.argv[2])
    pages = {path.name: Page(path) for path in html.glob("*.html")}
    titles = {plain(page.title.split(":", 1)[1]) for page in pages.values()
              if ":" in page.title}
    bad = 0
    for name, page in sorted(pages.items()):
        for link in sorted(page.links):
            if not (html / link).exists():
                print(f"{name}: links to {link}, which is not there")
                bad += 1
    wanted = {path: heading(path) for path in (source / "docs").rglob("*.md")}
    for path in (source / "include").rglob("*.h"):
        wanted[path] = plain(f"{path.relative_to(source)} File Reference")
    for path, title in sorted(wanted.items()):
        if title not in titles:
            print(f"{path}: no page has the title '{title}'")
            bad += 1
    print(f"{len(pages)} pages, {len(wanted)} documents and headers, {bad} wrong")
    return 1 if bad or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
