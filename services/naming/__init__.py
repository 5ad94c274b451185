"""Naming: the names of a tenant's own ports and gangs, and what its ports are told when they ask for a name.

Place: `controller.services` hands in questions and gives answers to whom they are for. A question is answered
from the zone of the tenant whose port asks, or is to be forwarded; no other tenant's zone is ever looked at.
"""
