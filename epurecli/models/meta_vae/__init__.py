"""Meta-VAE: a VAE over the latents of frozen component decoders. Source: docs/plan.md, Meta-VAE."""
