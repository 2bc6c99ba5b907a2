"""Emission on commit with Django's own transactions, each story in a process of its own: settings can't be changed."""

from __future__ import annotations

import json
import textwrap
from importlib.util import find_spec
from typing import Final

import pytest

from tests import child

pytestmark = pytest.mark.skipif(find_spec("django") is None, reason="needs Django")

SITE: Final = """
import json, sys, tempfile, threading
import bizspan
import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

databases = {name: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"} for name in ("default", "other")}
databases["default"]["ATOMIC_REQUESTS"] = True
directory = tempfile.TemporaryDirectory()
databases["other"]["NAME"] = directory.name + "/sale.db"  # close() does nothing to those in memory
settings.configure(
    SECRET_KEY="known", ROOT_URLCONF="__main__", ALLOWED_HOSTS=["testserver"], DATABASES=databases, LOGGING_CONFIG=None
)
django.setup()

from django.db import IntegrityError, connection, connections, transaction
from bizspan import _active, _guard
from bizspan.integrations import _django_commit
from bizspan.testing import START_NS, capture

_guard.fatal = True
_django_commit.install()
_django_commit.install()
for each in connections.all():
    each.cursor().execute("CREATE TABLE sale (name TEXT UNIQUE)")
urlpatterns = []

def sell(name, using="default"):
    with bizspan.operation(name, emit="on_commit") as op:
        connections[using].cursor().execute("INSERT INTO sale VALUES (%s)", [name])
        op.revenue(42, "EUR")

def rows(using="default"):
    cursor = connections[using].cursor()
    cursor.execute("SELECT name FROM sale ORDER BY name")
    return [name for (name,) in cursor.fetchall()]

def said(captured):
    return [[event.name, event.outcome, event.reason] for event in captured.operations()]

def watched():
    return [each for each in connections.all() if "close" in vars(each)]

with capture() as captured:
"""
END: Final = """
    assert not watched(), watched()
    assert 0 == len(captured._pipeline.waiting)
    captured.assert_consistent()
    print(json.dumps(said(captured)))
"""


def story(body: str) -> list[list[str | None]]:
    """What every operation of a story said: name, outcome, reason; the three signals agree."""
    ended = child.run(SITE + textwrap.indent(textwrap.dedent(body), "    ") + END)
    assert 0 == ended.code, ended.err
    told: list[list[str | None]] = json.loads(ended.out.splitlines()[-1])
    return told


def test_a_commit_and_a_rollback() -> None:
    """
    An atomic block decides; without one the operation is told at once; the true end time is kept.
    """
    told = story("""
    sell("at once")
    assert 1 == len(said(captured))
    with transaction.atomic():
        sell("kept")
        captured.tick(60)
        assert 1 == len(said(captured)) and 1 == len(watched())
    assert START_NS == captured.operations("kept")[0].time_ns == captured.spans("kept")[0].end_time
    try:
        with transaction.atomic():
            sell("undone")
            raise ValueError
    except ValueError:
        pass
    assert 84 == captured.metric("business.revenue")
    assert ["at once", "kept"] == rows()
    """)

    assert [["at once", "success", None], ["kept", "success", None], ["undone", "failed", "rolled_back"]] == told


def test_savepoints() -> None:
    """
    What was told inside a savepoint goes with it; what was told around it stays; a released one waits for the outer.
    """
    told = story("""
    with transaction.atomic():
        sell("outer")
        try:
            with transaction.atomic():
                sell("inner undone")
                with transaction.atomic():
                    sell("innermost, released")
                raise ValueError
        except ValueError:
            pass
        assert ["inner undone", "innermost, released"] == [name for name, outcome, reason in said(captured)]
        with transaction.atomic():
            sell("inner kept")
        assert 2 == len(said(captured))
    assert ["inner kept", "outer"] == rows()
    """)

    assert [
        ["inner undone", "failed", "rolled_back"],
        ["innermost, released", "failed", "rolled_back"],
        ["outer", "success", None],
        ["inner kept", "success", None],
    ] == told


def test_nested_blocks_without_savepoints() -> None:
    """
    An inner block without a savepoint undoes the outer one; so does set_rollback.
    """
    told = story("""
    try:
        with transaction.atomic():
            sell("outer")
            try:
                with transaction.atomic(savepoint=False):
                    sell("inner")
                    raise ValueError
            except ValueError:
                pass
            assert [] == said(captured)
    except transaction.TransactionManagementError:
        pass
    with transaction.atomic():
        sell("quietly undone")
        transaction.set_rollback(True)
    assert [] == rows()
    """)

    assert [[name, "failed", "rolled_back"] for name in ("outer", "inner", "quietly undone")] == told


def test_a_commit_that_fails() -> None:
    """
    A constraint that is checked at the commit undoes it, and the application gets its error.
    """
    told = story("""
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE part (sale TEXT REFERENCES sale (name) DEFERRABLE INITIALLY DEFERRED)")
    try:
        with transaction.atomic():
            sell("undone")
            cursor.execute("INSERT INTO part VALUES ('nothing')")
    except IntegrityError as error:
        assert "FOREIGN KEY" in str(error)
    else:
        raise AssertionError("committed")
    assert [] == rows()
    """)

    assert [["undone", "failed", "rolled_back"]] == told


def test_a_callback_before_ours_that_raises() -> None:
    """
    The transaction took place: success, although Django runs no further callback; the error reaches the application.
    """
    told = story("""
    def broken():
        raise ValueError("the application's own")

    try:
        with transaction.atomic():
            transaction.on_commit(broken)
            sell("kept")
    except ValueError as error:
        kept = error  # and with it the frames that hold Django's list
        assert "the application's own" == str(error)
    else:
        raise AssertionError("swallowed")
    assert ["kept"] == rows()
    with transaction.atomic():
        sell("next")
        transaction.on_commit(broken, robust=True)
    """)

    assert [["kept", "success", None], ["next", "success", None]] == told


def test_callbacks_of_the_application_run_as_before() -> None:
    """
    Each once and in order, and what they tell themselves is told at once.
    """
    told = story("""
    ran = []
    with transaction.atomic():
        transaction.on_commit(lambda: ran.append("first"))
        sell("kept")
        transaction.on_commit(lambda: (ran.append("second"), sell("in a callback")))
        try:
            with transaction.atomic():
                transaction.on_commit(lambda: ran.append("dropped"))
                raise ValueError
        except ValueError:
            pass
    assert ["first", "second"] == ran
    """)

    assert [["kept", "success", None], ["in a callback", "success", None]] == told


def test_a_connection_that_is_closed_says_nothing() -> None:
    """
    The connection is lost in the middle: unknown, and the next transaction works.
    """
    told = story("""
    try:
        with transaction.atomic(using="other"):
            sell("lost", using="other")
            connections["other"].close()
    except Exception as error:
        raise AssertionError("the host's block raises nothing of ours") from error
    with transaction.atomic(using="other"):
        sell("kept", using="other")
    assert ["kept"] == rows("other")
    connections["other"].set_autocommit(False)
    sell("lost again", using="other")
    connections["other"].close()
    close = connections["other"]._close

    def failing():
        close()
        raise OSError("the network's own")

    connections["other"]._close = failing
    try:
        with transaction.atomic(using="other"):
            sell("lost at last", using="other")
            connections["other"].close()
    except OSError as error:
        assert "the network's own" == str(error)
    else:
        raise AssertionError("swallowed")
    """)

    assert [
        ["lost", "failed", "unknown"],
        ["kept", "success", None],
        ["lost again", "failed", "unknown"],
        ["lost at last", "failed", "unknown"],
    ] == told


def test_without_autocommit() -> None:
    """
    With autocommit switched off commit() and rollback() decide.
    """
    told = story("""
    transaction.set_autocommit(False)
    sell("kept")
    assert [] == said(captured)
    transaction.commit()
    sell("undone")
    transaction.rollback()
    sell("after close")
    with transaction.atomic():
        sell("in a block")
    assert 2 == len(said(captured))
    connection.close()  # does nothing to a database in memory
    assert 2 == len(said(captured))
    transaction.commit()
    transaction.set_autocommit(True)
    assert ["after close", "in a block", "kept"] == rows()
    """)

    assert [
        ["kept", "success", None],
        ["undone", "failed", "rolled_back"],
        ["after close", "success", None],
        ["in a block", "success", None],
    ] == told


def test_several_databases() -> None:
    """
    Where two have a transaction open both must commit; one that has none does not matter.
    """
    told = story("""
    with transaction.atomic(using="other"):
        with transaction.atomic():
            sell("both")
        assert [] == said(captured)
    try:
        with transaction.atomic(using="other"):
            with transaction.atomic():
                sell("half")
            raise ValueError
    except ValueError:
        pass
    with transaction.atomic(using="other"):
        sell("the other one", using="other")
    assert ["both", "half"] == rows() and ["the other one"] == rows("other")
    """)

    assert [["both", "success", None], ["half", "failed", "rolled_back"], ["the other one", "success", None]] == told


def test_threads_have_transactions_of_their_own() -> None:
    """
    A thread without a transaction is told at once while another one's is open.
    """
    told = story("""
    def work():
        with bizspan.operation("elsewhere", emit="on_commit"):
            pass

    with transaction.atomic():
        sell("here")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert ["elsewhere"] == [name for name, outcome, reason in said(captured)]
    """)

    assert [["elsewhere", "success", None], ["here", "success", None]] == told


def test_atomic_requests() -> None:
    """
    An operation in a view waits for the request's commit; a view that raises undoes it, and the response is its own.
    """
    told = story("""
    from django.test import Client

    def buy(request, name):
        sell(name)
        bizspan.event("sold", emit="on_commit", revenue=(1, "EUR"))
        assert name not in [event[0] for event in said(captured)]
        if name == "undone":
            raise ValueError("the application's own")
        return HttpResponse("bought")

    urlpatterns.append(path("buy/<name>", buy))
    client = Client(raise_request_exception=False)
    assert (200, b"bought") == ((answer := client.get("/buy/kept")).status_code, answer.content)
    assert 500 == client.get("/buy/undone").status_code
    assert ["kept"] == rows()
    assert [None, "failed"] == [event.outcome for event in captured.events("sold")]
    assert 43 == captured.metric("business.revenue")
    assert 3 == captured.metric("business.events")  # one event of the two, and two operations
    """)

    assert [["kept", "success", None], ["undone", "failed", "rolled_back"]] == told


def test_a_test_case_never_commits() -> None:
    """
    As Django's own callbacks: told within captureOnCommitCallbacks(execute=True), else undone with the test.
    """
    told = story("""
    import unittest
    from django.test import TestCase

    class Shop(TestCase):
        databases = {"default", "other"}

        def test_executed(self):
            with self.captureOnCommitCallbacks(execute=True) as callbacks:
                with transaction.atomic():
                    sell("captured")
                    try:
                        with transaction.atomic():
                            sell("captured, undone")
                            raise ValueError
                    except ValueError:
                        pass
            assert 1 == len(callbacks)
            assert [["captured, undone", "failed", "rolled_back"], ["captured", "success", None]] == said(captured)

        def test_not_executed(self):
            with self.captureOnCommitCallbacks() as callbacks:
                sell("at the end")
            assert 1 == len(callbacks) and 2 == len(said(captured))

        def test_other_database(self):
            with self.captureOnCommitCallbacks(using="other", execute=True):
                with transaction.atomic(using="other"):
                    sell("other", using="other")
            assert ["other", "success", None] == said(captured)[-1]

    ran = unittest.TextTestRunner(stream=sys.stderr).run(unittest.defaultTestLoader.loadTestsFromTestCase(Shop))
    assert ran.wasSuccessful() and 3 == ran.testsRun
    assert [] == rows()
    """)

    assert [
        ["captured, undone", "failed", "rolled_back"],
        ["captured", "success", None],
        ["at the end", "failed", "rolled_back"],
        ["other", "success", None],
    ] == told


def test_a_transaction_test_case_commits() -> None:
    """
    With TransactionTestCase it is as in production.
    """
    told = story("""
    import unittest
    from django.test import TransactionTestCase

    class Shop(TransactionTestCase):
        def test_commit(self):
            sell("at once")
            with transaction.atomic():
                sell("kept")
            assert 2 == len(said(captured))

    ran = unittest.TextTestRunner(stream=sys.stderr).run(unittest.defaultTestLoader.loadTestsFromTestCase(Shop))
    assert ran.wasSuccessful() and 1 == ran.testsRun
    """)

    assert [["at once", "success", None], ["kept", "success", None]] == told


def test_a_wrapper_of_somebody_else_stays() -> None:
    """
    What was put over the connection's methods while something waited is still there afterwards, and works.
    """
    told = story("""
    ran = []
    with transaction.atomic():
        sell("kept")
        inner = connection.commit

        def commit():
            ran.append("commit")
            inner()

        connection.commit = commit
    assert connection.commit is commit
    with transaction.atomic():
        sell("again")
    assert connection.commit is commit and ["commit", "commit"] == ran
    """)

    assert [["kept", "success", None], ["again", "success", None]] == told


def test_uninstalled_nothing_waits() -> None:
    """
    What waits is still told; what comes is told at once by the process's setting, and refused where it is asked for.
    """
    told = story("""
    bizspan.configure(export="none", emit="on_commit")
    with transaction.atomic():
        sell("kept")
        _django_commit.uninstall()
        captured.allow("no_transactions")
        with bizspan.operation("at once"):
            pass
        try:
            sell("refused")
        except bizspan.SetupError:
            pass
        else:
            raise AssertionError("not refused")
        assert 1 == len(said(captured))
    """)

    assert [["at once", "success", None], ["kept", "success", None]] == told
