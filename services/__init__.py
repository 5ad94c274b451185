"""Services: what a network answers when its ports ask it. Bytes and values in, bytes out: no I/O, no clock.

Place: below `controller`, whose processes hand in what ports send; beside `pipelines`. Must not remember
anything: an answer follows from the question, the port and what is handed in.
"""
