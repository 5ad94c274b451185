"""Exports: what a gang has on a node, in the words of those who use it: libvirt, cloud-init, NCCL, programs.

Place: pure; asked by the API. Must not read a host or choose anything: only say what the store and the host's
report hold. No text of a tenant, operator or host gets into a place where it could be more than a comment.
"""
