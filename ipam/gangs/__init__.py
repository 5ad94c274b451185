"""Gangs: which virtual functions, addresses, MACs, GUIDs and partition keys a job gets, all or none.

Place: a request and what is there in, a placement or a refusal out; `ledger` keeps who holds what. Pure. Must
not touch a device, a fabric or the store.
"""
