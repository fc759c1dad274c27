"""epure: generate multi-component engineering designs.

    >>> import epurecli as epure
    >>> run = epure.load("vae")  # doctest: +SKIP
    >>> designs = run.sample(16, width_px=58)  # doctest: +SKIP

Names are imported when they are first used, so that `import epurecli` costs nothing; docs/api.md describes them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from epurecli.version import __version__

if TYPE_CHECKING:
    from epurecli.api.designs import Designs as Designs
    from epurecli.api.loading import load as load
    from epurecli.api.reading import read as read
    from epurecli.api.run import Run as Run
    from epurecli.api.training import train as train
    from epurecli.errors import EpureError as EpureError
    from epurecli.studio.notebook import show as studio  # noqa: F401 - the package, as a type checker may see it

_PUBLIC = {
    "Designs": "epurecli.api.designs",
    "EpureError": "epurecli.errors",
    "Run": "epurecli.api.run",
    "load": "epurecli.api.loading",
    "read": "epurecli.api.reading",
    "train": "epurecli.api.training",
}
__all__ = [*sorted([*_PUBLIC, "studio"]), "__version__"]


def __getattr__(name: str) -> Any:
    if name == "studio":  # a package that can be called: `epure.studio(run)`
        return import_module("epurecli.studio")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
