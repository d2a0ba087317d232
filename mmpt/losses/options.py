"""Reading a loss's settings: type and range checked, a default in use said once."""

import logging
import math
from numbers import Integral, Real
from typing import Any

from mmpt.config.access import nearest, setting
from mmpt.errors import ConfigError

logger = logging.getLogger(__name__)


def number(
    config: Any,
    key: str,
    default: float | None,
    *,
    low: float,
    high: float = math.inf,
    open_low: bool = False,
) -> float | None:
    """A real setting within `[low, high]` (`(low, high]` with `open_low`).

    Where the key is absent or null, its default is used and logged; a default of None means that
    the setting is optional and says nothing.

    Raises:
        ConfigError: not a number, not finite, or out of range.
    """
    value = setting(config, key)
    if value is None:
        return _said(key, default)
    allowed = _interval(low, high, open_low)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ConfigError(f"{key}: got {value!r}, {allowed} is needed")
    inside = (value > low if open_low else value >= low) and value <= high
    if not inside or not math.isfinite(value):
        raise ConfigError(f"{key}: got {value}, {allowed} is needed")
    return float(value)


def count(config: Any, key: str, default: int | None) -> int | None:
    """A whole setting of at least 1; absent or null as for `number`.

    Raises:
        ConfigError: not a whole number, or below 1.
    """
    value = setting(config, key)
    if value is None:
        return _said(key, default)
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ConfigError(f"{key}: got {value!r}, a whole number of at least 1 is needed")
    return int(value)


def flag(config: Any, key: str) -> bool:
    """A setting that is true or false, false where absent or null.

    Raises:
        ConfigError: neither true nor false.
    """
    value = setting(config, key, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{key}: got {value!r}, true or false is needed")
    return value


def implementation(config: Any) -> str:
    """`loss.implementation`: how token similarities and Sinkhorns are computed, `auto` if absent.

    Raises:
        ConfigError: unknown, or not available yet.
    """
    key, known = "loss.implementation", ("auto", "reference", "chunked")
    value = setting(config, key, "auto")
    if value == "triton":
        raise ConfigError(f"{key}: 'triton' is not available yet; use one of {', '.join(known)}")
    if value not in known:
        hint = nearest(value, known)
        raise ConfigError(f"{key}: unknown name {value!r}{hint}; known names: {', '.join(known)}")
    return value


def _said(key: str, default: float | None) -> float | None:
    if default is not None:
        logger.info("%s is not set: using %s", key, default)
    return default


def _interval(low: float, high: float, open_low: bool) -> str:
    if high < math.inf:
        return f"a number {'above' if open_low else 'from'} {low:g} up to {high:g}"
    return f"a number {'above' if open_low else 'of at least'} {low:g}"
