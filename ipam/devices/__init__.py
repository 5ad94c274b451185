"""Devices: which NICs, VFs and GPUs this host has, read from its kernel. The part of ipam with effects."""
