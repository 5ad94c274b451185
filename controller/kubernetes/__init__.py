"""Kubernetes: its documents as objects of ours.

Place: beside `controller.manifest`, for documents that are not written for us. Pure. Must not talk to a
cluster.
"""
