"""Mininet node types: a network and mount namespace each, with what runs in it.

Place: under fabrics and scenarios. Must not know the product (that is `topologies.control`).
"""
