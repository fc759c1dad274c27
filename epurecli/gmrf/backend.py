"""The one `if`: which body runs an operation, the torch twin or the native extension.

`EPURE_BACKEND=auto` (the default) takes the native body where it was built for the device, and the twin elsewhere;
`reference` always takes the twin; `native` takes the native body or raises `NativeUnavailable`.
"""

from __future__ import annotations

import os
from types import ModuleType

import torch
from torch import Tensor

from epurecli.errors import NativeUnavailable, UsageError
from epurecli.gmrf import reference

VARIABLE = "EPURE_BACKEND"
CHOICES = ("auto", "reference", "native")
HINT = "build it with `EPURE_NATIVE=cpu pip install .` (needs a C++ compiler), or set EPURE_BACKEND=auto"

try:
    from epurecli.gmrf import native

    MISSING: str | None = None
except ImportError as error:  # not swallowed: `active` tells it, and EPURE_BACKEND=native raises it
    native = None
    MISSING = str(error)


def requested() -> str:
    """The value of EPURE_BACKEND.

    Raises:
        UsageError: a value that is none of auto, reference, native.
    """
    value = os.environ.get(VARIABLE, "auto")
    if value not in CHOICES:
        raise UsageError(f"{VARIABLE}={value}: expected one of {', '.join(CHOICES)}")
    return value


def _serves(device: str) -> bool:
    """Whether the native body serves this kind of device, as things stand and as asked for."""
    choice = requested()
    if choice == "reference":
        return False
    there = native is not None and device in native.DEVICES
    if choice == "native" and not there:
        raise NativeUnavailable(f"{VARIABLE}=native: {_why_not(device)}", hint=HINT)
    return there


def _why_not(device: str) -> str:
    return f"the extension is not built ({MISSING})" if native is None else f"the extension is built without {device}"


def active(device: str = "cpu") -> tuple[str, str]:
    """Name ("native" or "reference") and reason of the body that serves `device`, for `epure doctor`.

    Raises:
        NativeUnavailable: EPURE_BACKEND=native, and there is none for this device.
    """
    if _serves(device):
        return "native", native.describe()
    return "reference", f"{VARIABLE}=reference" if requested() == "reference" else _why_not(device)


def body(like: Tensor, *, constants: tuple[Tensor | None, ...] = ()) -> ModuleType:
    """The module whose functions serve tensors like this one: `reference` or `native`.

    The native body has no backward for `constants`: where one of them wants a gradient, it is the twin.

    Raises:
        NativeUnavailable: EPURE_BACKEND=native, and there is none for this device.
    """
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in constants):
        return reference
    return native if _serves(like.device.type) else reference
