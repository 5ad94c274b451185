"""The BGP speaker: ExaBGP as a process of its own, with a relay that outlives the agent.

Place: the one importer of exabgp, and that in `engine` alone. `relay` is the parent: it holds what the agent
announces and what the peers say, runs ExaBGP as a child, and serves one agent over a unix socket. Must not
judge, originate or change a route.
"""
