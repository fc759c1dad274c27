"""Config files: schema, loading, overrides."""

from epurecli.config.load import dump_config, load_config, shipped
from epurecli.config.schema import RunConfig, Section

__all__ = ["RunConfig", "Section", "dump_config", "load_config", "shipped"]
