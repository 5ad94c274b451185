"""A real store, as the tests of the store have it; and a real API over another one."""

from tests.unit.api.house import house, remote
from tests.unit.store.conftest import directory, server, store

__all__ = ["directory", "house", "remote", "server", "store"]
