"""The configuration file: what it says, what the environment overrides, and how a wrong one is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bizspan import SetupError, Vocabulary
from bizspan._config_file import find, load_config
from bizspan._config_schema import Lazy
from bizspan.integrations._rules import rules_of

WHOLE = """
[tool.other]
x = 1

[tool.bizspan]
service_name = "shop"
environment = "staging"
emit = "on_commit"
frameworks = ["flask"]
baggage_hosts = ["*.shop.internal"]

[tool.bizspan.vocabulary]
prefix = "shop"
version = "2"
propagate = ["segment"]

[tool.bizspan.vocabulary.facts.seat]
meaning = "The class of seat."
dimension = true
budget = 4
allowed = ["economy", "business"]
propagate = true

[tool.bizspan.requests]
country_header = "CF-IPCountry"
trusted_hops = 1
resolver = "os.path:basename"
exclude = ["/health"]
trust_baggage = ["/internal/*"]

[tool.bizspan.routes]
"POST /checkout/" = "checkout"
"POST /pay" = { operation = "payment", feature = "pay" }

[tool.bizspan.operations."shop.orders:place"]
name = "checkout"
revenue = "result.total"
currency = "result.currency"

[tool.bizspan.metrics]
"http.server.request.duration" = ["segment", "country"]
"orders.size" = "*"

[tool.bizspan.tasks]
"shop.tasks.charge" = "charge"

[tool.bizspan.logging]
exclude = ["urllib3"]
"""


def written(folder: Path, text: str, name: str = "pyproject.toml") -> Path:
    """A file of this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_says_what_would_be_code(tmp_path: Path) -> None:
    """
    Arguments of configure(), options of the integrations, operations by function, tasks, metrics, and logging.
    """
    loaded = load_config(written(tmp_path, WHOLE), {})

    vocabulary = loaded.configure["vocabulary"]
    assert isinstance(vocabulary, Vocabulary)
    assert ("shop.seat", 4, {"economy", "business"}) == (
        vocabulary["seat"].key,
        vocabulary["seat"].budget,
        vocabulary["seat"].allowed,
    )
    assert (True, ("segment",)) == (vocabulary["seat"].propagate, vocabulary.propagate)
    assert ("*.shop.internal",) == loaded.configure["baggage_hosts"]
    assert ("shop", "staging", "on_commit") == tuple(
        loaded.configure[name] for name in ("service_name", "environment", "emit")
    )
    assert {"http.server.request.duration": ("segment", "country"), "orders.size": None} == loaded.configure[
        "metric_dimensions"
    ]
    assert "checkout" == loaded.operations["shop.orders:place"]["name"]
    assert {"shop.tasks.charge": "charge"} == loaded.tasks
    assert {"exclude": ("urllib3",)} == loaded.logging
    assert ("flask",) == loaded.frameworks
    rules = rules_of(loaded.requests)
    route = rules.route_map.find("POST", "/pay")
    assert route is not None
    assert ("payment", "pay", 1) == (route.operation, route.feature, rules.trusted_hops)
    assert [True, False] == [rules.trusts_baggage("POST", path) for path in ("/internal/stock", "/checkout/")]


def test_functions_are_imported_when_they_are_called(tmp_path: Path) -> None:
    """
    The file is read before the application, whose modules must not be imported early.
    """
    loaded = load_config(written(tmp_path, WHOLE), {})
    missing = written(tmp_path, '[requests]\nresolver = "nowhere.to.be:found"', "bizspan.toml")

    assert "c" == loaded.requests["resolver"]("a/b/c")
    resolver = load_config(missing, {}).requests["resolver"]
    assert isinstance(resolver, Lazy)
    with pytest.raises(SetupError, match=r"'nowhere\.to\.be:found' can't be imported: ModuleNotFoundError"):
        resolver("x")


def test_the_nearest_pyproject_with_a_section_applies(tmp_path: Path) -> None:
    """
    One without a section is somebody else's.
    """
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    outer = written(tmp_path, '[tool.bizspan]\nservice_name = "shop"')
    written(inner, '[project]\nname = "x"')

    assert outer == find({}, inner)


def test_a_file_of_its_own_needs_no_section(tmp_path: Path) -> None:
    """
    `BIZSPAN_CONFIG` names it, and it wins over a pyproject.toml.
    """
    path = written(tmp_path, 'service_name = "own"', "bizspan.toml")
    written(tmp_path, '[tool.bizspan]\nservice_name = "project"')

    assert path == find({"BIZSPAN_CONFIG": str(path)}, tmp_path)
    assert "own" == load_config(path, {}).configure["service_name"]


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    """
    bizspan's variables, and OpenTelemetry's for the service's name.
    """
    loaded = load_config(
        written(tmp_path, WHOLE),
        {
            "OTEL_SERVICE_NAME": "named",
            "BIZSPAN_EMIT": "now",
            "BIZSPAN_TRUSTED_HOPS": "2",
            "BIZSPAN_EXCLUDE": "/a, /b",
            "BIZSPAN_BOTS": "false",
            "BIZSPAN_FRAMEWORKS": "django",
            "BIZSPAN_BAGGAGE_HOSTS": "a.internal, b.internal",
            "BIZSPAN_TRUST_BAGGAGE": "true",
        },
    )

    assert "service_name" not in loaded.configure  # configure() reads OTEL_SERVICE_NAME itself
    assert "now" == loaded.configure["emit"]
    assert (2, ("/a", "/b"), False) == tuple(loaded.requests[name] for name in ("trusted_hops", "exclude", "bots"))
    assert ("django",) == loaded.frameworks
    assert (["a.internal", "b.internal"], True) == (
        list(loaded.configure["baggage_hosts"]),
        loaded.requests["trust_baggage"],
    )


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("servce_name = 'x'", "servce_name", "did you mean 'service_name'?"),
        ("service_name = 3", "service_name", "expected a text"),
        ("hash_key = 'secret'", "hash_key", "expected one of the keys"),
        ("[requests]\ntrusted_hops = 'two'", "requests.trusted_hops", "expected a whole number from 0"),
        ("[requests]\ntrusted_hops = true", "requests.trusted_hops", "expected a whole number from 0"),
        ("[requests]\nresolver = 'shop.telemetry'", "requests.resolver", "expected a name such as"),
        ("[requests]\ncampaign = 'best'", "requests.campaign", "expected one of 'first', 'last', 'off'"),
        ("[routes]\n'POST /x' = 3", 'routes."POST /x"', "expected a text, or a table"),
        ("[routes]\n'POST /x' = {operatoin = 'x'}", 'routes."POST /x"', "did you mean 'operation'?"),
        ("[vocabulary]\nprefix = 'otel'", "vocabulary", "is reserved"),
        (
            "[vocabulary.facts.seat]\npersonal = true\ndimension = true\n",
            "vocabulary.facts.seat",
            "drop one of the two",
        ),
        ("[metrics]\n'x' = 'segment'", "metrics.x", "expected"),
        ("emit = 'later'", "emit", "expected one of 'now', 'on_commit'"),
        ("export = 'kafka'", "export", "expected one of 'otlp', 'console', 'none'"),
        ("a = [", "", "it is no TOML file"),
    ],
)
def test_a_wrong_value_is_explained_with_file_key_and_what_was_expected(
    tmp_path: Path, text: str, key: str, expected: str
) -> None:
    """
    One sentence.
    """
    path = written(tmp_path, text, "bizspan.toml")

    with pytest.raises(SetupError) as raised:
        load_config(path, {})
    assert str(raised.value).startswith(f"{path}: {key}")
    assert expected in str(raised.value)


def test_a_wrong_variable_is_explained(tmp_path: Path) -> None:
    """
    By its own name.
    """
    with pytest.raises(SetupError, match="BIZSPAN_TRUSTED_HOPS: expected a whole number from 0"):
        load_config(written(tmp_path, WHOLE), {"BIZSPAN_TRUSTED_HOPS": "two"})


def test_a_named_file_must_be_there() -> None:
    """
    A typing mistake in the variable is no reason to go on without the file.
    """
    with pytest.raises(SetupError, match=r"BIZSPAN_CONFIG names '/nowhere\.toml', which is no file"):
        find({"BIZSPAN_CONFIG": "/nowhere.toml"})


def test_there_need_not_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The environment alone is enough.
    """
    monkeypatch.chdir(tmp_path)

    assert {"emit": "on_commit"} == load_config(None, {"BIZSPAN_EMIT": "on_commit"}).configure


@pytest.mark.parametrize("page", ["how-to/zero-code", "reference/configuration-file"])
def test_what_the_pages_show_is_taken(page: str, tmp_path: Path) -> None:
    """
    Each TOML block, whole; in running text, each pair of key and value.
    """
    document = Path(__file__).resolve().parent.parent / "docs" / f"{page}.md"
    if not document.is_file():
        pytest.skip("docs/ is not in this copy")
    blocks = re.findall(r"^```toml\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for block in blocks:
        load_config(written(tmp_path, block), {})
    assert len(blocks) == (2 if page.startswith("how-to") else 0)


def test_somebody_elses_broken_file_is_passed_over(tmp_path: Path) -> None:
    """
    One that names bizspan is said to be broken, and one with a byte order mark is not.
    """
    inner = tmp_path / "a"
    inner.mkdir()
    outer = tmp_path / "pyproject.toml"
    outer.write_bytes(b"\xef\xbb\xbf[tool.bizspan]\nservice_name = 'shop'")
    written(inner, "[tool.")
    assert outer == find({}, inner)
    assert "shop" == load_config(outer, {}).configure["service_name"]

    written(inner, "[tool.bizspan")
    with pytest.raises(SetupError, match="it is no TOML file"):
        find({}, inner)


def test_what_the_resource_says_beats_the_file(tmp_path: Path) -> None:
    """
    Where the name and the environment stand in OpenTelemetry's own variable.
    """
    told = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=other,deployment.environment.name=live"}
    assert {"service_name", "environment"}.isdisjoint(load_config(written(tmp_path, WHOLE), told).configure)


def test_the_environment_says_what_has_no_table(tmp_path: Path) -> None:
    """
    A vocabulary by its name, frameworks, and whether log records get fields; an empty variable says nothing.
    """
    told = {"BIZSPAN_VOCABULARY": "tests.test_config_file:SEATS", "BIZSPAN_LOGGING": "false", "BIZSPAN_FRAMEWORKS": ""}
    loaded = load_config(written(tmp_path, WHOLE), told)

    assert SEATS is loaded.configure["vocabulary"]
    assert {"exclude": ("urllib3",), "enabled": False} == loaded.logging
    assert ("flask",) == loaded.frameworks
    with pytest.raises(SetupError, match="BIZSPAN_FRAMEWORKS: expected a list of 'flask', 'django'"):
        load_config(None, {"BIZSPAN_FRAMEWORKS": "flask, rails"})
    with pytest.raises(SetupError, match=r"BIZSPAN_VOCABULARY: expected the name of a Vocabulary"):
        load_config(None, {"BIZSPAN_VOCABULARY": "tests.test_config_file:WHOLE"})


SEATS = Vocabulary("shop", [])
