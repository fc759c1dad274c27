"""One room per model, each behind the contract of `base`; `registry` lists them."""
