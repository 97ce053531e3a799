"""9. MATCHES, FOR PEOPLE AND PROGRAMS: a web page and an HTTP interface."""

from lookalike.service.app import create_app
from lookalike.service.limits import Limits, Settings
from lookalike.service.server import serve

__all__ = ["Limits", "Settings", "create_app", "serve"]
