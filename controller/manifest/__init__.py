"""Manifests: from YAML or JSON text to wanted objects, with every mistake found and none of them fatal.

Place: between the API's request body and `ipam.plan`: text -> tree -> draft -> checked -> `model.wanted`.
Pure. Must not read files, talk to the store or decide what is allocated.
"""
