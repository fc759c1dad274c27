"""Beta-VAE: one ResNet encoder and decoder over all components stacked as channels. Source: docs/plan.md, beta-VAE."""
