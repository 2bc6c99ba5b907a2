"""Flask: where bizspan is set up, and the application's own session."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

pytest.importorskip("flask")

from flask import Flask, session

from bizspan import names
from bizspan.errors import SetupError
from bizspan.integrations.flask import Bizspan, install, switch_on
from bizspan.testing import capture
from tests.child import run
from tests.flask_shops import nothing_left, shop


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """See `nothing_left`."""
    with nothing_left():
        yield


# --- sessions -------------------------------------------------------------------------------------------------------


def visited(app: Flask, first: str = "/", secret_key: str | None = None) -> tuple[Any, Any]:
    """A visit that may begin a session, then a checkout; the two answers."""
    app.secret_key = secret_key
    app.add_url_rule("/checkout", "checkout", lambda: "sold", methods=["POST"])
    app.add_url_rule("/", "home", lambda: "home")

    @app.get("/login")
    def login() -> str:
        session["_user_id"] = "u-1"
        return "hello"

    client, robot = app.test_client(), {"User-Agent": "Googlebot/2.1 (+http://www.google.com/bot.html)"}
    return client.get(f"{first}?utm_campaign=spring&utm_source=mail"), client.post("/checkout", headers=robot)


def test_a_campaign_is_kept_in_the_session_that_the_application_begins() -> None:
    """
    The checkout carries the campaign of the visit before it, and whoever logged in then is no bot.
    """
    with capture() as captured:
        visited(shop(), "/login", "secret")

        [checkout] = captured.operations("checkout", campaign="spring", campaign_source="mail")
        assert "business.traffic" not in checkout.attributes


@pytest.mark.parametrize("secret_key", [None, "secret"])
def test_no_session_is_begun_and_no_answer_changed(secret_key: str | None) -> None:
    """
    Without a SECRET_KEY as with one: neither a cookie nor `Vary: Cookie`, though bizspan looks who is logged in.
    """
    with capture() as captured:
        answers = visited(shop(), "/", secret_key)

        assert not any(name in answer.headers for answer in answers for name in ("Set-Cookie", "Vary"))
        assert 1 == len(captured.operations("checkout", traffic="bot"))
        assert [None] == [event.attributes.get("business.campaign.name") for event in captured.operations()]


@pytest.mark.parametrize("step", ["open_session", "save_session"])
def test_a_session_that_fails_fails_the_operation_alone(step: str) -> None:
    """
    Flask answers 500, as without us, and the operation says so.
    """
    app = shop()
    app.secret_key = "secret"

    class Broken(type(app.session_interface)):  # type: ignore[misc]
        pass

    def fail(*args: object) -> None:
        raise ConnectionError

    setattr(Broken, step, fail)
    app.session_interface = Broken()
    app.add_url_rule("/checkout", "checkout", lambda: session.update(cart=1) or "sold", methods=["POST"])
    with capture() as captured:
        assert 500 == app.test_client().post("/checkout").status_code
        [operation] = captured.operations("checkout", outcome="failed")
        assert "ConnectionError" == operation.attributes[names.ERROR_TYPE]


# --- set-up ---------------------------------------------------------------------------------------------------------


def test_options_may_stand_in_the_config_and_those_in_code_win() -> None:
    """
    In a factory, one `Bizspan` serves several applications.
    """
    ours = Bizspan(channel="app")

    def factory(name: str) -> Flask:
        app = Flask(name)
        app.config["BIZSPAN"] = {"routes": {"/": name}, "channel": "web"}
        app.add_url_rule("/", "home", lambda: name)
        ours.init_app(app)
        return app

    with capture() as captured:
        for name in ("one", "two"):
            assert name == factory(name).test_client().get("/").text
            assert 1 == len(captured.operations(name, channel="app"))


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"route": {}}, "Did you mean 'routes'"),
        (["routes"], "must be a dict"),
        ({"campaign": "middle"}, "campaign='middle'"),
    ],
)
def test_a_wrong_option_is_told_at_set_up(config: object, complaint: str) -> None:
    """
    With what to write instead.
    """
    app = Flask(__name__)
    app.config["BIZSPAN"] = config

    with pytest.raises(SetupError, match=complaint):
        Bizspan(app)


def test_a_wrong_argument_is_told_where_it_is_written() -> None:
    """
    Not when an application is made.
    """
    with pytest.raises(SetupError, match="resolver= must be a function"):
        Bizspan(resolver="segment")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_an_application_has_it_once() -> None:
    """
    A second one is refused, and the first one stays; rules from a file yield to those in code.
    """
    app = shop()
    with pytest.raises(SetupError, match="already"):
        Bizspan(app)
    rules = app.extensions["bizspan"].rules
    install(app, rules.__class__(), is_default=True)
    assert rules is app.extensions["bizspan"].rules

    made_by_file = Flask(__name__)
    install(made_by_file, rules.__class__(), is_default=True)
    install(made_by_file, rules)
    assert rules is made_by_file.extensions["bizspan"].rules
    with pytest.raises(SetupError, match="already"):
        install(made_by_file, rules)


def test_every_new_application_has_it_when_it_is_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without code in the application; its own `Bizspan(app)` still wins.
    """
    rules: Any = import_module("bizspan.integrations._rules")
    monkeypatch.setattr(Flask, "__init__", Flask.__init__)  # restored afterwards
    monkeypatch.setattr(rules, "_defaults", {"routes": {"/": "by.file"}})
    switch_on()
    switch_on()
    app, own = Flask(__name__), Flask(__name__)
    Bizspan(own, routes={"/": "by.code"})
    with capture() as captured:
        for each in (app, own):
            each.add_url_rule("/", "home", lambda: "home")
            each.test_client().get("/")

        assert ["by.file", "by.code"] == [event.name for event in captured.operations()]


def test_it_can_be_switched_on_in_the_middle_of_flasks_import() -> None:
    """
    As `opentelemetry-instrument` does it: a hook runs when ``flask.app`` is loaded and ``flask`` itself is not.
    """
    ended = run("""
        import importlib, wrapt
        ours = "bizspan.integrations.flask"
        wrapt.register_post_import_hook(lambda _: importlib.import_module(ours).switch_on(), "flask.app")
        import flask
        print(sorted(flask.Flask("shop").extensions))
    """)

    assert "['bizspan']" == ended.out.strip(), ended.err


def test_without_flask_it_says_what_to_install() -> None:
    """
    With the pip line.
    """
    ended = run("""
        import sys
        sys.modules["flask"] = None
        try:
            import bizspan.integrations.flask
        except ImportError as error:
            print(error)
    """)

    assert 'pip install "bizspan[flask]"' in ended.out, ended.err
