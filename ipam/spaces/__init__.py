"""Spaces: numbers that are handed out one by one, given back with a cool-down, and never to two at once.

Place: under `ipam.gangs`; over `ipam.bitmap`. Pure. Must not know what a number stands for.
"""
