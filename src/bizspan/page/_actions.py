"""
Buttons: what the page offers to do, where a program has said what that is. A lens by itself has none.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from bizspan.errors import SetupError
from bizspan.page import _frame
from bizspan.page._html import Html, tag

if TYPE_CHECKING:
    from bizspan.kpi import Calendar
    from bizspan.lens import Lens, Request, Response

PATH: Final = "/do/"
_BODY_MOST: Final = 4_096
_KEPT: Final = 5
_FORM: Final = "application/x-www-form-urlencoded"
_HTML: Final = "text/html; charset=utf-8"
_HERE: Final = "same-origin"
# With `no-referrer` a browser would keep the form's origin to itself.
REFERRER: Final = {"Referrer-Policy": _HERE}


@dataclass(frozen=True, slots=True)
class Action:
    """
    A button.

    Args:
        name: In the address: small letters and hyphens.
        label: What is on it.
        says: What happens, in one sentence.
        run: Does it, on the thread of the request, and says in a sentence what was done.

    Raises:
        SetupError: The name is none.
    """

    name: str
    label: str
    says: str
    run: Callable[[], str]

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.replace("-", "a").isalpha() and self.name == self.name.lower()):
            raise SetupError(f"an action's name has small letters and hyphens, such as 'roll-back'; got {self.name!r}.")


class Actions:
    """
    The buttons of one page, and what was done by them.

    Args:
        lens: Whose page it is.
        actions: What is offered.
        calendar: Whose clock.
        headers: Of every answer.
    """

    def __init__(self, lens: Lens, actions: Iterable[Action], calendar: Calendar, headers: Mapping[str, str]) -> None:
        self._headers = {**headers, **REFERRER}
        self._by_name = {action.name: action for action in actions}
        self._calendar = calendar
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._done: deque[str] = deque(maxlen=_KEPT)
        if self._by_name:
            lens.access.add_actions(PATH)
            lens.routes.add("POST", f"{PATH}*", self._taken)

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def section(self, request: Request) -> Html:
        """The buttons, and what was done last; for whoever made this request."""
        token = self._token(request)
        with self._lock:
            done = list(self._done)[::-1]
        forms = (
            tag(
                "form",
                tag("input", type="hidden", name="token", value=token),
                tag("button", each.label, type="submit", aria_describedby=f"says-{each.name}"),
                tag("p", each.says, class_="quiet", id=f"says-{each.name}"),
                method="post", action=f"{PATH}{each.name}", class_="action",
            )
            for each in self._by_name.values()
        )  # fmt: skip
        return tag(
            "section",
            tag("h2", "What you can do", id="actions-title"),
            tag("div", forms, class_="actions"),
            tag("p", done[0], role="status") if done else None,
            tag("ul", (tag("li", each) for each in done[1:]), class_="quiet") if done[1:] else None,
            class_="card wide", id="actions", aria_labelledby="actions-title",
        )  # fmt: skip

    def _taken(self, request: Request) -> Response:
        from bizspan.lens import Response

        action = self._by_name.get(request.path.removeprefix(PATH))
        if action is None:
            return self._refused(404, "There is no such button.")
        if not (_is_from_here(request) and self._has_token(request)):
            return self._refused(
                403, "This was not pressed on the page of this lens; open the page, and press it there."
            )
        said = action.run()
        now = datetime.fromtimestamp(time.time(), self._calendar.zone)
        with self._lock:
            self._done.append(f"{now:%H:%M:%S}  {action.label}: {said}")
        return Response(b"", _HTML, 303, {**self._headers, "Location": "/#actions"})

    def _refused(self, status: int, text: str) -> Response:
        from bizspan.lens import Response

        return Response(_frame.message(status, text), _HTML, status, self._headers)

    def _token(self, request: Request) -> str:
        """Of the browser's session: what another one was given is of no use."""
        return hmac.digest(self._secret, _session(request).encode("utf-8", "replace"), "sha256").hex()

    def _has_token(self, request: Request) -> bool:
        kind = (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        if kind != _FORM or len(request.body) > _BODY_MOST:
            return False
        try:
            told = dict(parse_qsl(request.body.decode("ascii", "replace"), max_num_fields=4)).get("token", "")
        except ValueError:  # more fields than that
            return False
        return hmac.compare_digest(told.encode("utf-8", "replace"), self._token(request).encode())


def _is_from_here(request: Request) -> bool:
    """Whether a page of this address sent it; a program that says nothing about it did not."""
    site, origin = (request.headers.get(name) or "" for name in ("Sec-Fetch-Site", "Origin"))
    if site and site != _HERE:
        return False
    host = (request.headers.get("Host") or "").lower()
    return bool(host) and origin.lower() in (f"http://{host}", f"https://{host}")


def _session(request: Request) -> str:
    from bizspan.lens import COOKIE

    for line in request.headers.get_all("Cookie", []):
        try:
            told = SimpleCookie(line).get(COOKIE)
        except CookieError:
            continue
        if told is not None:
            return told.value
    return ""
