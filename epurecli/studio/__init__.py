"""The studio: draw, complete, vary and choose designs in the browser: `epure studio`, or `epure.studio(run)`.

`messages` is the protocol, `engine` draws, `session` remembers, `security` lets in, `app` serves; `web/` is the page.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Studio(ModuleType):
    """`epurecli.studio` is this package and, as in `epure.studio(run)`, the function that notebooks call."""

    def __call__(self, *runs: Any, **options: Any) -> Any:
        from epurecli.studio.notebook import show

        return show(*runs, **options)


sys.modules[__name__].__class__ = _Studio
