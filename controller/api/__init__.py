"""The API: HTTP on a unix socket; validates, plans, writes the store in one transaction, answers.

Place: between people (`ringfence`, curl) and the store. Stateless but for the store's cache. Must not program
switches or speak BGP, and must never let a request end the process or leave half a change.
"""
