"""The local Open_vSwitch database: which interfaces there are, and our bridge, tunnel port and controller.

Place: beside `controller.southbound.openflow`; with `controller.store` the only importer of ovs.
"""
