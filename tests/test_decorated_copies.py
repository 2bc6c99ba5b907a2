"""Decorated functions pickle and copy as plain ones do: for process pools, task queues and deep copies."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import bizspan
from bizspan.testing import Capture


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    @bizspan.operation("method")
    def method(self) -> str:
        return self.name

    @classmethod
    @bizspan.operation("classmethod")
    def under_classmethod(cls) -> str:
        return cls.__name__

    @bizspan.operation("classmethod")
    @classmethod
    def over_classmethod(cls) -> str:
        return cls.__name__

    @bizspan.operation("staticmethod")
    @staticmethod
    def static() -> str:
        return "static"


@bizspan.operation("function")
def function() -> str:
    return "function"


@bizspan.context(segment="gold")
def in_context() -> str:
    return "context"


def pickled(each: Any) -> Any:
    return pickle.loads(pickle.dumps(each))


@pytest.mark.parametrize("way", [pickled, copy.copy, copy.deepcopy])
@pytest.mark.parametrize(
    ("each", "expected"),
    [
        (function, "function"),
        (in_context, "context"),
        (Shop("mine").method, "mine"),
        (Shop.under_classmethod, "Shop"),
        (Shop.over_classmethod, "Shop"),
        (Shop("mine").over_classmethod, "Shop"),
        (Shop.static, "static"),
        (Shop("mine").static, "static"),
    ],
)
def test_a_copy_is_called_as_the_original(capbiz: Capture, way: Any, each: Any, expected: str) -> None:
    """
    The copy still records its runs.
    """
    copied = way(each)

    assert expected == copied()
    assert (0 if each is in_context else 1) == len(capbiz.operations())


def test_a_deep_copied_method_is_bound_to_the_copy(capbiz: Capture) -> None:
    """
    As for plain methods, the object is copied too.
    """
    shop = Shop("before")

    copied = copy.deepcopy(shop.method)
    shop.name = "after"

    assert "before" == copied()


def test_a_decorated_function_inside_a_structure_is_copied_along(capbiz: Capture) -> None:
    """
    A registry of handlers deep-copies to the same handlers.
    """
    registry = {"handlers": [function, Shop.static]}

    assert ["function", "static"] == [each() for each in copy.deepcopy(registry)["handlers"]]


def test_a_local_function_is_refused_by_pickle_as_a_plain_one_is() -> None:
    """
    Pickle finds functions by name; one inside a function has none.
    """

    @bizspan.operation("local")
    def local() -> None:
        pass

    with pytest.raises((pickle.PicklingError, AttributeError), match="local"):
        pickle.dumps(local)
