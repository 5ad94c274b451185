"""Egress accounting: flow counters -> intervals -> journal (host) -> ledger (API) -> report.

Pure, but for `journal` (files on the host) and `ledger` (the database).
Must not know OpenFlow, HTTP or the store.
"""
