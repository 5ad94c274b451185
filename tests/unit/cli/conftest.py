"""A real store and the real API, once for all tests of this folder."""

from tests.unit.api.house import house, remote

__all__ = ["house", "remote"]
