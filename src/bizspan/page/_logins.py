"""
Getting in where there is a token: by a link that works once, or by the token in a form; then by a cookie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from bizspan.page import _frame
from bizspan.page._html import Html, tag

if TYPE_CHECKING:
    from bizspan.lens import Lens, Request, Response

PATH: Final = "/login"
_BODY_MOST: Final = 4_096


def shown(lens: Lens, request: Request, headers: dict[str, str]) -> Response:
    """The form; or, by a link with a key that was not used yet, a session."""
    from bizspan.lens import Response

    key = dict(request.parameters).get("key", "")
    if key:
        session = lens.access.redeem(key) if request.method == "GET" else None
        if session is not None:
            return _in(session, headers)
        return Response(
            _frame.message(401, "This link was used already.", _form("Log in with the token instead.")),
            _HTML, 401, headers,
        )  # fmt: skip
    return Response(_frame.message(200, "Log in", _form("The token is the one that the lens was started with.")), _HTML,
                    200, headers)  # fmt: skip


def taken(lens: Lens, request: Request, headers: dict[str, str]) -> Response:
    """A session for the right token."""
    from bizspan.lens import Response

    told = ""
    if len(request.body) <= _BODY_MOST:
        told = dict(parse_qsl(request.body.decode("ascii", "replace"), max_num_fields=4)).get("token", "")
    session = lens.access.log_in(told)
    if session is None:
        return Response(_frame.message(401, "This token is wrong.", _form("Look at how the lens was started.")), _HTML,
                        401, headers)  # fmt: skip
    return _in(session, headers)


def _in(session: str, headers: dict[str, str]) -> Response:
    from bizspan.lens import Response

    cookie = f"{_cookie()}={session}; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200"
    # Not a redirect: what follows one that came from another site would be sent without the new cookie.
    body = _frame.message(
        200, "You are in.", tag("p", tag("a", "Open the page", href="/", id="enter", data_enter=True))
    )
    return Response(body, _HTML, 200, {**headers, "Set-Cookie": cookie})


def _cookie() -> str:
    from bizspan.lens import COOKIE

    return COOKIE


def _form(said: str) -> Html:
    return tag(
        "form",
        tag("p", said),
        tag("label", tag("span", "Token"), tag("input", type="password", name="token", required=True,
            autocomplete="current-password")),
        tag("button", "Log in", type="submit"),
        method="post", action=PATH, class_="login",
    )  # fmt: skip


_HTML: Final = "text/html; charset=utf-8"
