"""YAML and PromQL of any text read back as that text."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from bizspan.kpi import _promql, _yaml
from bizspan.kpi._yaml import Block, encodable, written

_read: Any = import_module("yaml").safe_load

# Half pairs, controls, line separators, and what YAML takes for something else.
ANY = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(
    ["", "no", "1e3", "~", "2026-01-01", "a: b", "- a", "#", "\x85", "\u2028", "\ufeff", "\ud800", "{{", "|", ">"]
)


@given(text=ANY)
def test_a_text_reads_back(text: str) -> None:
    """
    Quotes, controls and line separators survive; half of a pair is U+FFFD.
    """
    assert encodable(text) == _read(_yaml.quoted(text))
    assert encodable(text) == ast.literal_eval(_promql.quoted(text))
    assert _promql.quoted(text).isascii()


@given(
    node=st.recursive(
        ANY | st.integers(),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, min_size=1)
        ),
        max_leaves=12,
    ).filter(lambda node: isinstance(node, (dict, list)))
)
def test_a_document_reads_back(node: Any) -> None:
    """
    Lists in tables in lists, with keys in their order.
    """
    assert _plain(node) == _read(written(node))


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in cast("dict[str, Any]", node).items()}
    if isinstance(node, list):
        return [_plain(value) for value in cast("Any", node)]
    return encodable(node) if isinstance(node, str) else node


def test_a_block_is_written_as_it_stands() -> None:
    """
    An expression of several lines keeps them.
    """
    text = "a\n  / b\nand c"

    assert {"expr": text} == _read(written({"expr": Block(text)}))


@given(values=st.lists(ANY, min_size=1, max_size=3, unique=True), other=ANY)
def test_a_matcher_matches_these_values_alone(values: list[str], other: str) -> None:
    """
    What stands in a regular expression matches itself, and no other text.
    """
    plain = [encodable(value) for value in values]
    told = re.fullmatch(r"label(=~?)(.*)", _promql.matcher("label", values))
    assert told is not None
    pattern = ast.literal_eval(told[2])

    def fits(text: str) -> bool:
        return text == pattern if told[1] == "=" else bool(re.fullmatch(pattern, text, re.DOTALL))

    assert all(fits(value) for value in plain)
    near = {value.replace("\ufffd", encodable(other)[:1]) for value in plain}
    assert encodable(other) in {*plain, *near} or not fits(encodable(other))
