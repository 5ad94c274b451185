"""Labs: Mininet nodes, fabrics, traffic, faults and scenarios that prove the product with packets.

Place: only tests and `ringfence lab` (which execs `python -m topologies`) come here. Must not be imported by
the product, and must not touch anything on this machine that it did not make.
"""
