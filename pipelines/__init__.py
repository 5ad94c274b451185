"""From a Snapshot to the OpenFlow program of one hypervisor.

Pure: values in, values out. Must not do I/O, read a clock, or know how a flow looks on the wire.
"""
