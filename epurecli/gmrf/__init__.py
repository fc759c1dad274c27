"""Pure Gaussian maths on tensors: knows no network. Each operation has a torch twin and, where built, a native body."""

from epurecli.gmrf.conditioning import (
    Conditional,
    Posterior,
    combine_evidence,
    condition_gaussian,
    conditional_table,
)
from epurecli.gmrf.covariance import JitterWarning, assemble_covariance, cholesky, coupling_size
from epurecli.gmrf.gaussian import CoupledGaussian, GaussianPrior, gaussian_elbo, gaussian_kl

__all__ = [
    "Conditional",
    "CoupledGaussian",
    "GaussianPrior",
    "JitterWarning",
    "Posterior",
    "assemble_covariance",
    "cholesky",
    "combine_evidence",
    "condition_gaussian",
    "conditional_table",
    "coupling_size",
    "gaussian_elbo",
    "gaussian_kl",
]
