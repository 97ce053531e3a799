"""9. MATCHES, FOR PEOPLE AND PROGRAMS: a web page and an HTTP interface.

The names are loaded when they are first used: whoever only asks a service (`Client`) needs nothing of what serves.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.service.app import create_app as create_app
    from lookalike.service.client import Client as Client
    from lookalike.service.limits import Limits as Limits
    from lookalike.service.limits import Settings as Settings
    from lookalike.service.server import serve as serve

_HOME = {"Client": "client", "Limits": "limits", "Settings": "limits", "create_app": "app", "serve": "server"}

__all__ = ["Client", "Limits", "Settings", "create_app", "serve"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"lookalike.service.{_HOME[name]}"), name)
    raise AttributeError(f"module 'lookalike.service' has no attribute {name!r}")
