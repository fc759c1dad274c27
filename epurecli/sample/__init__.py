"""THE sampler and what it writes."""
