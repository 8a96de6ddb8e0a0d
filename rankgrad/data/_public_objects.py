"""Walks importable modules and yields their documented public objects, each once."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import logging
import os
import pkgutil
import sys
import warnings
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

_EXCLUDED = frozenset(
    {"antigravity", "distutils", "encodings", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "readline"}
    | {"rlcompleter", "site", "sitecustomize", "test", "this", "tkinter", "turtle", "turtledemo", "usercustomize"}
)
"""Their import opens a browser, prints or changes the terminal, or their content differs between builds of a Python."""

_IMPLEMENTATIONS = frozenset({"genericpath", "nt", "ntpath", "posix", "posixpath"})
"""Public by name, but documented as ``os`` and ``os.path``."""

_TESTS = frozenset({"conftest", "setup", "test", "testing", "tests"})


class PublicObject(NamedTuple):
    """A documented object: the module that counts as its home, its dotted name, its docstring."""

    module: str
    name: str
    docstring: str


def standard_library_modules() -> dict[str, ModuleType]:
    """The public modules of the standard library that import on this machine, by name."""
    names = sorted(name for name in sys.stdlib_module_names if _is_public(name) and not name.startswith("xx"))
    modules = {name: module for root in names for name, module in _walk(root, depth=3)}
    return modules | {"os.path": os.path}


def package_modules(package: str, *, limit: int) -> dict[str, ModuleType]:
    """The public modules of an installed package, outermost first, at most ``limit``; empty when it does not import."""
    modules: dict[str, ModuleType] = {}
    for depth in range(4):
        for name, module in _walk(package, depth=depth, limit=limit):
            modules.setdefault(name, module)
            if len(modules) >= limit:
                return modules
    return modules


def public_objects(modules: dict[str, ModuleType], roots: Iterable[str]) -> list[PublicObject]:
    """The modules, and their classes, functions and methods with a docstring of their own, sorted by name.

    An object that several modules export counts once, in the public module nearest to where it is defined. Objects
    defined outside ``roots`` (top-level names) are left out.
    """
    allowed = frozenset(roots)
    found = {name: PublicObject(name, name, module.__doc__) for name, module in modules.items() if module.__doc__}
    for home, attribute, value in _homes(modules, allowed):
        for name, docstring in _documented(f"{home}.{attribute}", value, allowed):
            found.setdefault(name, PublicObject(home, name, docstring))
    return [found[name] for name in sorted(found)]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop the warnings, prints and log lines of foreign modules; looking at an attribute is enough to set some off."""
    logged = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        sink = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logged)


def _walk(name: str, *, depth: int, limit: int | None = None) -> Iterator[tuple[str, ModuleType]]:
    module = _imported(name)
    if module is None:
        return
    yield name, module
    if depth == 0 or not hasattr(module, "__path__"):
        return
    children = sorted(info.name for info in pkgutil.iter_modules(module.__path__))
    for child in children[:limit]:
        if _is_public(child) and child not in _TESTS:
            yield from _walk(f"{name}.{child}", depth=depth - 1, limit=limit)


def _imported(name: str) -> ModuleType | None:
    """The module, or None where it does not import here."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit):  # nobody knows what a foreign module raises at import; it is then no part of this
        return None


def _is_public(name: str) -> bool:
    parts = name.split(".")
    return not any(part.startswith("_") for part in parts) and parts[0] not in _EXCLUDED | _IMPLEMENTATIONS


def _homes(modules: dict[str, ModuleType], allowed: frozenset[str]) -> Iterator[tuple[str, str, Any]]:
    """For each exported object the (module, attribute) that is its home, and the object."""
    exporters: dict[int, list[tuple[tuple[Any, ...], str, str, Any]]] = {}
    for name, module in modules.items():
        listed = frozenset(getattr(module, "__all__", ()))
        for attribute in sorted(vars(module)):
            value = vars(module)[attribute]
            # Anyone may replace sys.excepthook and the like; beside those stands the original as sys.__excepthook__.
            hook = callable(vars(module).get(f"__{attribute}__"))
            if attribute.startswith("_") or hook or isinstance(value, ModuleType) or _own_docstring(value) is None:
                continue
            owner = _defined_in(value, otherwise=name)
            if owner.split(".")[0] not in allowed - _EXCLUDED:
                continue
            same_name = attribute == getattr(value, "__name__", None)
            far = (name != owner, name != owner.lstrip("_"), not same_name)
            nearness = (*far, name.count("."), attribute not in listed)
            exporters.setdefault(id(value), []).append((nearness, name, attribute, value))
    for candidates in exporters.values():
        _, name, attribute, value = min(candidates, key=lambda candidate: candidate[:3])
        yield name, attribute, value


def _documented(name: str, value: Any, allowed: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The object and, of a class, the public members with their own docstring that it or a private base defines.

    Members that another package hung onto the class later are left out.
    """
    docstring = _own_docstring(value)
    if docstring:
        yield name, docstring
    if inspect.isclass(value):
        private = [base for base in value.__mro__[1:] if "._" in f".{base.__module__}.{base.__name__}"]
        home = value.__module__
        for member, held in sorted({k: v for base in (*private[::-1], value) for k, v in vars(base).items()}.items()):
            if member.startswith("_") or inspect.isclass(held):
                continue
            docstring = _own_docstring(held)
            if docstring and _defined_in(held, otherwise=home).split(".")[0] in allowed:
                yield f"{name}.{member}", docstring


def _defined_in(value: Any, *, otherwise: str) -> str:
    """The module that an object, or the getter of a property, names as its own."""
    module = getattr(getattr(value, "fget", value), "__module__", None)
    return module if isinstance(module, str) else otherwise


def _own_docstring(value: Any) -> str | None:
    """Its docstring; empty for a class without one, None for an instance that only shows its class's."""
    docstring = getattr(value, "__doc__", None)
    if inspect.isclass(value):
        return docstring if isinstance(docstring, str) else ""
    return docstring if isinstance(docstring, str) and docstring != type(value).__doc__ else None
