"""One folder per model, each behind the contract of `contract`; `registry` lists them."""
