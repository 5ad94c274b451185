"""Scenarios: a fabric with the product running on it and workloads plugged in; one file each.

Place: what `python -m topologies up` and the integration tests start from. Must not assert anything.
"""
