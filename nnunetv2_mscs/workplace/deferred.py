"""Modules that other packages import at their top, loaded only when something in them is used."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn


class NeededNowError(BaseException):
    """A module is needed while it is deferred. No `except Exception` of a package that is imported hides it."""


class _DeferredName:
    """A function or class of a module that may not be loaded yet. To call it or to subclass it loads the module.

    `isinstance` loads nothing: there is no instance of a class that is not loaded.
    """

    def __init__(self, module: str, name: str):
        self.__dict__ |= {"_module": module, "_name": name}

    def _real(self) -> Any:
        return getattr(_loaded(self._module), self._name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and not _is_loaded(self._module):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._real(),)

    def __instancecheck__(self, instance: Any) -> bool:
        return _is_loaded(self._module) and isinstance(instance, self._real())

    def __subclasscheck__(self, subclass: type) -> bool:
        return _is_loaded(self._module) and issubclass(subclass, self._real())


class _NoPath(list):
    """The path of a deferred package: only the import of a module in it looks through it."""

    def __iter__(self) -> NoReturn:
        raise NeededNowError("a module in a deferred package")


class _DeferredModule(ModuleType):
    """What stands for a module while others are imported, and is left in those others afterwards."""

    def __init__(self, name: str, names: Sequence[str]):
        super().__init__(name)
        self.__path__ = _NoPath()
        self.__dict__.update({one: _DeferredName(name, one) for one in names})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_loaded(self.__name__), name)


def _is_loaded(module: str) -> bool:
    return not isinstance(sys.modules.get(module), _DeferredModule | None)


def _loaded(module: str) -> ModuleType:
    if isinstance(sys.modules.get(module), _DeferredModule):
        raise NeededNowError(module)
    return import_module(module)


@contextmanager
def deferred(modules: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Import packages in the block without some of the modules that they import.

    What is imported in the block keeps a stand-in for each of these modules. It becomes the real module as soon as it
    is used. All imports after the block get the real modules; those loaded before are left alone.

    Args:
        modules: full names of the modules, and for each the functions and classes that `from MODULE import NAME` or an
            annotation in the block may ask for. Constants cannot be deferred.

    Raises:
        NeededNowError: the block uses a module at once, or asks for another name. Then import without this.
    """
    stand_ins = {name: _DeferredModule(name, names) for name, names in modules.items() if name not in sys.modules}
    for name, stand_in in stand_ins.items():
        package, _, own_name = name.rpartition(".")
        if package in stand_ins:
            setattr(stand_ins[package], own_name, stand_in)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
