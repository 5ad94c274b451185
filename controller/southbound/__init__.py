"""Effects on this host: the switch (OpenFlow, OVSDB, unixctl) and the underlay (probes).

Place: called by the agent's loop, which alone decides. Must not compile intent.
"""
