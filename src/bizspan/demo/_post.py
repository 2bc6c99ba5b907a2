"""
One POST of JSON to a service of the demo's shop.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

from opentelemetry import propagate

_TIMEOUT_S: Final = 5.0


class NotAnswered(Exception):  # noqa: N818 - named like what happened
    """The service went away before it answered."""


def post(port: int, path: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """
    The answer. The trace goes along.

    Args:
        port: On this machine.
        path: As ``/checkout``.
        told: The body.

    Raises:
        NotAnswered: There is none, or it is an error.
    """
    headers = {"content-type": "application/json"}
    propagate.inject(headers)
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)) as connection:
        try:
            connection.request("POST", path, json.dumps(told), headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise NotAnswered(type(error).__name__) from error
    if answer.status != http.client.OK:
        raise NotAnswered(f"status {answer.status}")
    return dict(json.loads(body))
