"""A browser without JavaScript: pages, links and forms over a real socket."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlencode, urljoin

_FOUND = 303


@dataclass
class Form:
    """A form of a page."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    label: str = ""


class Page(HTMLParser):
    """A page: its status, headers, text, links and forms."""

    def __init__(self, path: str, status: int, headers: dict[str, str], body: str) -> None:
        super().__init__()
        self.path, self.status, self.headers, self.body = path, status, headers, body
        self.tags: list[str] = []
        self.links: dict[str, str] = {}
        self.forms: list[Form] = []
        self._texts: list[str] = []
        self._href = ""
        self._is_button = False
        self._textarea = ""
        self.feed(body)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", unescape(" ".join(self._texts)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag == "a":
            self._href = attributes.get("href", "")
        elif tag == "form":
            self.forms.append(Form(attributes.get("action", self.path)))
        elif tag == "input":
            self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")
        elif tag == "textarea":
            self._textarea = attributes["name"]
            self.forms[-1].fields[self._textarea] = ""
        self._is_button = tag == "button"

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            fields = self.forms[-1].fields
            fields[self._textarea] = fields[self._textarea].removeprefix("\n")
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        self._texts.append(data)
        if self._textarea:
            self.forms[-1].fields[self._textarea] += data
        if self._href and data.strip():
            self.links[data.strip()] = self._href
            self._href = ""
        if self._is_button and data.strip():
            self.forms[-1].label = data.strip()


class Browser:
    """Follows links and presses buttons of a console."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str) -> Page:
        return self._ask("GET", path)

    def post(self, path: str, fields: dict[str, str]) -> Page:
        return self._ask("POST", path, urlencode(fields))

    @contextmanager
    def stream(self, path: str, **headers: str) -> Iterator[HTTPResponse]:
        """Read an answer while it is being written; leave at the end of the block."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection.request("GET", path, headers=headers)
        try:
            yield connection.getresponse()
        finally:
            connection.close()

    def press(self, page: Page, label: str, **wanted: str) -> Page:
        """Press the button of the first form with this label and these fields."""
        return self.fill(page, label, {}, **wanted)

    def fill(self, page: Page, label: str, filled: dict[str, str], **wanted: str) -> Page:
        """Fill in fields of the first form with this label, and press its button."""
        form = next(
            each
            for each in page.forms
            if each.label == label and wanted.items() <= each.fields.items()
        )
        return self.post(urljoin(page.path, form.action), {**form.fields, **filled})

    def _ask(self, method: str, path: str, body: str | None = None) -> Page:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        headers = {"Origin": f"http://127.0.0.1:{self._port}"} if method == "POST" else {}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        found = {name.lower(): value for name, value in response.getheaders()}
        connection.close()
        if response.status == _FOUND:
            return self.get(found["location"])
        return Page(path, response.status, found, text)


def discard_all(browser: Browser) -> None:
    """Discard all dead letters."""
    page = browser.get("/console/dead-letters")
    for each in [form for form in page.forms if form.label == "Discard" and "task" in form.fields]:
        browser.post(each.action, {**each.fields, "confirmed": "yes"})
