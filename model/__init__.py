"""The vocabulary of Ringfence: typed values that every other room speaks.

Imports nothing of ours. Holds no effect, no state and no decision.
"""
