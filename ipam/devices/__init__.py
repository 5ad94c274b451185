"""Devices: which NICs, VFs and GPUs this host has, and how its VFs are set. The part of ipam with effects."""
