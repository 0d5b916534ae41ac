import sys
from importlib import import_module

import pytest

from nnunetv2_mscs.workplace.deferred import NeededNowError, deferred

HEAVY = """
class Thing:
    size = 3

def double(x):
    return 2 * x

LEVEL = 7
"""
USER = """
import heavy_one
import heavy_two.inner as inner
from heavy_one import Thing, double

def is_thing(one: "heavy_one.Thing | int"):
    return isinstance(one, Thing)

def level():
    return heavy_one.LEVEL
"""
MODULES = {"heavy_one": ("Thing", "double"), "heavy_two": (), "heavy_two.inner": ()}


@pytest.fixture
def packages(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "heavy_two").mkdir()
    for name in ("heavy_one.py", "heavy_two/__init__.py", "heavy_two/inner.py"):
        (tmp_path / name).write_text(HEAVY)
    yield lambda text: (tmp_path / "light_user.py").write_text(text)
    for name in (*MODULES, "light_user"):
        sys.modules.pop(name, None)


def loaded() -> set[str]:
    return sys.modules.keys() & MODULES


def test_modules_are_loaded_when_they_are_used_and_are_then_the_real_ones(packages):
    packages(USER)
    with deferred(MODULES):
        user = import_module("light_user")
    assert loaded() == set()
    assert not user.is_thing(3)
    assert loaded() == set()
    assert user.double(4) == 8
    assert loaded() == {"heavy_one"}
    real = import_module("heavy_one")
    assert user.is_thing(real.Thing())
    assert not user.is_thing(3)
    assert user.level() == 7
    assert user.Thing.size == 3

    class Own(user.Thing):
        pass

    assert issubclass(Own, real.Thing)
    assert user.inner.double(2) == 4
    assert loaded() == set(MODULES)


@pytest.mark.parametrize(
    "text",
    [
        "import heavy_one\nLEVEL = heavy_one.LEVEL",
        "from heavy_one import LEVEL",
        "from heavy_one import double\nFOUR = double(2)",
        "from heavy_one import Thing\nclass Own(Thing): pass",
        "import heavy_two.other",
        "try:\n    import heavy_one\n    heavy_one.LEVEL\nexcept Exception:\n    pass",
    ],
)
def test_what_is_needed_at_once_is_said_even_where_errors_are_caught(packages, text):
    packages(text)
    with pytest.raises(NeededNowError), deferred(MODULES):
        import_module("light_user")
    assert loaded() == set()


def test_modules_loaded_before_stay(packages):
    packages("from heavy_one import LEVEL")
    real = import_module("heavy_one")
    with deferred(MODULES):
        assert import_module("light_user").LEVEL == 7
    assert sys.modules["heavy_one"] is real
