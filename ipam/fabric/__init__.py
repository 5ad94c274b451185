"""Fabric: the partitions that a subnet manager holds. Pure but for publish, diagnostics and opensm."""
