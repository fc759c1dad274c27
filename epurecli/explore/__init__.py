"""Designs in one HTML file that needs no model, no server and no network: to look through, compare, choose and mail."""

from epurecli.explore.writer import NAME, check_target, explorer_page, write_explorer

__all__ = ["NAME", "check_target", "explorer_page", "write_explorer"]
