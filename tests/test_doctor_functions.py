"""`bizspan doctor` looks up the functions that the configuration file names, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bizspan.doctor import _functions
from bizspan.doctor._finding import Finding
from bizspan.doctor._functions import check_functions
from tests.child import environment
from tests.doctor_set_up import look

SHOP = """
print("noise")
class Declined(Exception):
    pass
class Service:
    def place(self, cart):
        return cart
def place(cart, total=0):
    return cart
def rows(cart):
    yield cart
def who(request):
    return {}
"""


def found(folder: Path, told: str, shop: str = SHOP, /, **variables: str) -> list[Finding]:
    """What is found about the functions of this file."""
    (folder / "shop_of_somebody.py").write_text(shop)
    file = folder / "bizspan.toml"
    file.write_text(told)
    return list(check_functions(str(file), environment(None, PYTHONPATH=str(folder), **variables)))


def test_functions_that_are_there_are_one_green_line(tmp_path: Path) -> None:
    """
    Operations, and what the requests ask.
    """
    (line,) = found(
        tmp_path,
        """
        [operations."shop_of_somebody:place"]
        name = "checkout"
        revenue = "total"
        currency = "EUR"
        rejects = "shop_of_somebody:Declined"
        [operations."shop_of_somebody:Service.place"]
        name = "order.place"
        [requests]
        resolver = "shop_of_somebody:who"
        [routes."POST /checkout"]
        operation = "checkout"
        revenue = "shop_of_somebody:who"
        """,
    )

    assert ("function", "green", True) == (line.check, line.level, "4 of the 4 functions" in line.text)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ('[operations."shop_of_somebody:plcae"]', "did you mean 'place'?"),
        ('[operations."shop_of_somebody:Service.plaec"]', "did you mean 'place'?"),
        ('[operations."shop_of_somebody:Servce.place"]', "did you mean 'Service'?"),
        ('[operations."shop_of_nobody:place"]', "there is no module 'shop_of_nobody'"),
        ('[operations."shop_of_somebody.orders:place"]', "there is no module 'shop_of_somebody.orders'"),
        ('[operations."shop_of_somebody:rows"]', "is a generator"),
        ('[operations."shop_of_somebody:place"]\nrejects = "shop_of_somebody:Refused"', "can't be imported"),
        ('[requests]\nresolver = "shop_of_somebody:hwo"', "did you mean 'who'?"),
        ('[requests]\nstaff = "shop_of_somebody:__name__"', "it is no function"),
        ('[routes."GET /"]\noperation = "x"\nrevenue = "shop_of_somebody:amount"', "has no 'amount'"),
    ],
)
def test_a_function_that_is_not_there_or_does_not_fit_is_red(told: str, said: str, tmp_path: Path) -> None:
    """
    With its name, what is wrong, and the nearest name that is there.
    """
    (line,) = found(tmp_path, told)

    assert ("function", "red", True) == (line.check, line.level, said in line.text), line
    assert "shop_of_" in line.text
    assert "configuration file" in line.next_step


@pytest.mark.parametrize(
    ("shop", "said"),
    [
        ("raise RuntimeError('a secret')", "raises RuntimeError"),
        ("import not_installed_anywhere", "raises ModuleNotFoundError"),
        ("raise SystemExit(3)", "raises SystemExit"),
        ("import os; os._exit(7)", "ended the process with 7"),
        ("import threading; threading.Event().wait()", "hangs"),
    ],
)
def test_a_module_that_can_t_be_imported_alone_is_yellow(
    shop: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whatever it does: the application may import it in another order. What it raises is not repeated.
    """
    monkeypatch.setattr(_functions, "_BOUND_S", 4.0)

    (line,) = found(tmp_path, '[operations."shop_of_somebody:place"]', shop)

    assert ("yellow", True, False) == (line.level, said in line.text, "a secret" in line.text), line
    assert "python -c 'import shop_of_somebody'" == line.next_step


def test_nothing_is_sent_while_functions_are_looked_up(tmp_path: Path) -> None:
    """
    A module that configures telemetry when it is imported finds it switched off.
    """
    shop = SHOP + "\nimport os\nassert os.environ['OTEL_SDK_DISABLED'] == 'true'\n"

    (line,) = found(tmp_path, '[operations."shop_of_somebody:place"]', shop)

    assert "green" == line.level


def test_django_is_started_before_its_models_are_imported(tmp_path: Path) -> None:
    """
    Where `DJANGO_SETTINGS_MODULE` is set.
    """
    pytest.importorskip("django")
    (tmp_path / "settings_of_somebody.py").write_text(
        'INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]\nSECRET_KEY = "x"\n'
    )
    shop = "from django.contrib.auth.models import User\ndef place(cart):\n    return User\n"

    (line,) = found(
        tmp_path, '[operations."shop_of_somebody:place"]', shop, DJANGO_SETTINGS_MODULE="settings_of_somebody"
    )

    assert "green" == line.level, line


def test_the_doctor_looks_functions_up(tmp_path: Path) -> None:
    """
    As one of its checks; without functions in the file there is none.
    """
    file = tmp_path / "bizspan.toml"
    file.write_text('[operations."shop_of_nobody:place"]')
    with_functions = look(file)
    file.write_text('service_name = "shop"')

    assert "red" == with_functions["function"].level
    assert "function" not in look(file)
