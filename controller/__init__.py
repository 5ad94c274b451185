"""The roof: agent, API, CLI, store and southbound; the only room with effects on the world."""
