"""Bypass: counting what gangs' devices carried past the switch.

Place: beside `accounting.count`, which does this for the switch's flows. Pure. Must not read a device.
"""
