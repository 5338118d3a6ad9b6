"""Packages of an extra: imported where they are used, so that everything else runs without them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .errors import ConfigError


def import_extra(module: str, extra: str = "annotate") -> Any:
    """Import a module of a package that an extra brings.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ConfigError(f"{package} is not installed: pip install '.[{extra}]' in this project") from error
