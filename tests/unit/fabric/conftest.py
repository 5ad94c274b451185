"""A real store, as the tests of the store have it."""

from tests.unit.store.conftest import directory, server, store

__all__ = ["directory", "server", "store"]
