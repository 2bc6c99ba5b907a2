"""The typed signatures name the standard facts, so that editors complete them: they never drift apart."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

import bizspan
from bizspan.vocabulary import OPTION_NAMES, STANDARD

SOURCE: Final = Path(bizspan.__file__).with_name("operation.py")
METHODS: Final = {
    "__init__": {"revenue", "value", "cost", "tax", "rejects", "span", "idempotency_key", "emit", "attributes"},
    "__call__": {"revenue", "value", "cost", "tax", "rejects", "span", "idempotency_key", "emit", "attributes"},
}


def typed(method: str) -> ast.FunctionDef:
    """The signature of Operation that type checkers read: the one that names `customer`."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    (found,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and node.name == method
        and any(argument.arg == "customer" for argument in node.args.kwonlyargs)
    ]
    return found


@pytest.mark.bare
@pytest.mark.parametrize("method", METHODS)
def test_the_standard_facts_in_the_signature_are_the_standard_vocabulary(method: str) -> None:
    """
    Each keyword once, in the vocabulary's order, typed as a fact, and no other but the options.
    """
    keywords = {argument.arg: argument for argument in typed(method).args.kwonlyargs}

    facts = [name for name in keywords if name not in METHODS[method]]
    assert [attribute.name for attribute in STANDARD] == facts
    assert {"Fact"} == {ast.unparse(keywords[name].annotation or ast.Constant("")) for name in facts}
    assert METHODS[method] == set(keywords) - set(facts)


@pytest.mark.bare
def test_no_standard_fact_is_called_like_an_option() -> None:
    """
    A keyword means one thing.
    """
    assert set() == {attribute.name for attribute in STANDARD} & OPTION_NAMES
