"""`python -m epurecli` is the `epure` command."""

from epurecli.cli import main

if __name__ == "__main__":
    main()
