"""Guests: whole machines under QEMU, with Debian's own kernel and no disk.

Place: beside the nodes, for what a namespace cannot be: another kernel, or a VM as libvirt starts one.
"""
