"""Traffic: pings, counted UDP, TCP, captures and forged frames; all with deadlines and typed results.

Place: driven by tests and the demo, against anything that has a network namespace. Must not assert a speed.
"""
