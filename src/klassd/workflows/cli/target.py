"""From ``MODULE:APP`` on the command line to the App object, and what can be wrong on the way."""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import os
import sys
import sysconfig
import traceback
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

from klassd.workflows.cli.problems import Problem, did_you_mean, listed

if TYPE_CHECKING:
    from klassd.workflows.app import App


def load_app(spec: str) -> App:
    """The App that ``spec`` names: ``module:attribute``, ``module`` when it holds one App, or the path of a .py file for
    the module. The working directory is importable, as with ``python -m``."""
    from klassd.workflows.app import App

    module_name, _, attribute = canonical(spec).partition(":")
    module = _import(module_name)
    apps = sorted(name for name, value in vars(module).items() if isinstance(value, App))
    if not attribute:
        return _only_app(module, apps)
    found = _attribute(module, attribute, apps)
    if not isinstance(found, App):
        raise Problem(f"{spec} is {_kind(found)}, not an App", _apps_hint(module_name, apps))
    return found


def canonical(spec: str) -> str:
    """``examples/hello.py:app`` is what a shell completes; Python calls it ``examples.hello:app``."""
    path, _, attribute = spec.partition(":")
    if path.endswith(".py"):
        path = os.path.relpath(path) if os.path.isabs(path) else os.path.normpath(path)
        path = path.removesuffix(".py").replace(os.sep, ".")
    return f"{path}:{attribute}" if attribute else path


def make_cwd_importable() -> None:
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _import(name: str) -> ModuleType:
    make_cwd_importable()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise _no_module(name, error.name) from None
        raise import_problem(name, error) from None
    except (Exception, SystemExit) as error:
        raise import_problem(name, error) from None


def _no_module(name: str, missing: str) -> Problem:
    here = sorted(_modules_here())
    return Problem(
        f"there is no module {missing!r} to import {'' if name == missing else f'for {name!r} '}from {os.getcwd()}",
        did_you_mean(name, here)
        or (f"modules here: {listed(here)}" if here else "expected MODULE:APP, such as hello:app for an app in hello.py"),
    )


def _modules_here() -> list[str]:
    try:
        entries = os.listdir()
    except OSError:
        return []
    return [
        entry.removesuffix(".py") for entry in entries if entry.endswith(".py") and entry.removesuffix(".py").isidentifier()
    ]


def import_problem(name: str, error: BaseException) -> Problem:
    """What went wrong inside the user's module: the error and the user's own line, not the road that led there."""
    if isinstance(error, SyntaxError):
        where, source, what = _place(error.filename, error.lineno), (error.text or "").strip(), error.msg
    else:
        where, source = _own_line(error.__traceback__)
        what = str(error)
    said = f"{type(error).__name__}: {what}" if what else type(error).__name__
    return Problem(f"{name} cannot be imported: {said}", f"{where}    {source}".rstrip() if where else "")


def _own_line(trace: TracebackType | None) -> tuple[str, str]:
    """The innermost frame in the user's code, or the innermost of all."""
    frames = traceback.extract_tb(trace)
    own = [frame for frame in frames if is_user_file(frame.filename)]
    if not own:
        return "", ""
    frame = own[-1]
    return _place(frame.filename, frame.lineno), (linecache.getline(frame.filename, frame.lineno or 0)).strip()


def is_user_file(path: str) -> bool:
    """Whether a file is the user's: not of the standard library, not installed, not of this package."""
    if path.startswith("<"):
        return False
    real = os.path.realpath(path)
    roots = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), _PACKAGE)
    return not any(real.startswith(os.path.realpath(root) + os.sep) for root in roots) and "site-packages" not in real


_PACKAGE = os.path.dirname(os.path.dirname(__file__))


def _place(path: str | None, line: int | None) -> str:
    if not path:
        return ""
    shown = os.path.relpath(path)
    return f"{path if shown.startswith('..') else shown}:{line}"


def _only_app(module: ModuleType, apps: list[str]) -> App:
    if len(apps) == 1:
        app: App = getattr(module, apps[0])
        return app
    if not apps:
        raise Problem(f"there is no App in {module.__name__}", "expected a line such as: app = App(jobs=[...])")
    raise Problem(
        f"there are {len(apps)} Apps in {module.__name__}: say which", *(f"{module.__name__}:{name}" for name in apps)
    )


def _attribute(module: ModuleType, path: str, apps: list[str]) -> object:
    found: object = module
    for part in path.split("."):
        if not hasattr(found, part):
            raise Problem(
                f"there is no {path!r} in {module.__name__}", did_you_mean(path, apps) or _apps_hint(module.__name__, apps)
            )
        found = getattr(found, part)
    return found


def _apps_hint(module: str, apps: list[str]) -> str:
    if not apps:
        return f"{module} holds no App; expected a line such as: app = App(jobs=[...])"
    return f"Apps in it: {', '.join(f'{module}:{name}' for name in apps)}"


def _kind(value: object) -> str:
    if isinstance(value, ModuleType):
        return "a module"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
