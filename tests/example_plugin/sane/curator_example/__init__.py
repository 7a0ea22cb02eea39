"""A filter for texts in capitals."""

from .filter import Shouting, hookimpl


@hookimpl
def register_filters(register):
    register(Shouting)
