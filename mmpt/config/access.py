"""Reading settings that may be absent, and names that must be known."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from omegaconf import DictConfig

from mmpt.config.errors import ConfigError

T = TypeVar("T")


def setting(config: Any, key: str, default: Any = None) -> Any:
    """The value of a dotted key, or `default` where it is absent or null.

    A plain attribute read of an absent key raises in OmegaConf >= 2.1; every reader of a job file
    goes through here instead.

    Args:
        config: a DictConfig, a dict, or any object with attributes.
        key: for instance `loss.sequence_contrast.threshold`.
        default: what an absent or null key means.
    """
    node = config
    for part in key.split("."):
        if node is None:
            return default
        if isinstance(node, (DictConfig, Mapping)):
            node = node.get(part)
        else:
            node = getattr(node, part, None)
    return default if node is None else node


def closest(name: str, known) -> str | None:
    """The one of the known names that is close enough to be meant, or None."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.6)
    return close[0] if close else None


def nearest(name: str, known) -> str:
    """` (did you mean X?)` where one of the known names is close, else an empty string."""
    close = closest(name, known)
    return f" (did you mean {close}?)" if close else ""


def lookup(registry: Mapping[str, T], name: str | None, key: str) -> T:
    """The entry of a registry that a config key names.

    Raises:
        ConfigError: the name is absent or unknown; the message lists the known names.
    """
    if name in registry:
        return registry[name]
    known = ", ".join(sorted(registry))
    if name is None:
        raise ConfigError(f"{key} is not set; known names: {known}")
    raise ConfigError(
        f"{key}: unknown name {name!r}{nearest(name, registry)}; known names: {known}"
    )
