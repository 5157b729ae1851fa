"""The fast engine; until it is here, the reference engine answers."""

from .reference import extract

__all__ = ["extract"]
