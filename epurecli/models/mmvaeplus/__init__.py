"""MM-VAE+: a VAE a component; all share one latent, each has one of its own, and any one may speak for all."""
