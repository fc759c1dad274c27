"""The native bodies of `reference`'s functions: same names, arguments and results; one module for each operation.

Eagerly an operation is an `autograd.Function` around the extension, the shortest way there is; under `torch.compile` it
is a `torch.library` custom op, which the compiler can trace. Both make the same calls.
"""

from epurecli.gmrf.native.assemble import assemble
from epurecli.gmrf.native.condition import condition, condition_coupled, condition_shared, factor_orders, group_rows
from epurecli.gmrf.native.elbo import elbo
from epurecli.gmrf.native.evidence import evidence
from epurecli.gmrf.native.extension import DEVICES, describe

__all__ = [
    "DEVICES",
    "assemble",
    "condition",
    "condition_coupled",
    "condition_shared",
    "describe",
    "elbo",
    "evidence",
    "factor_orders",
    "group_rows",
]
