"""IPAM: which number goes to whom. Pure: contents and wishes in, a plan out.

Place: called by the API with what the store holds; its plans are written by `controller.store`. Imports
`model` only. Must not do I/O, read a clock or draw random numbers: those are handed in.
"""
