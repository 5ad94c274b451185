"""Services: what a network answers when its ports ask it. Bytes and values in, bytes out: no I/O, no clock.

Place: below `controller`, whose agent hands in what the switch hands up; beside `pipelines`. Must not
remember anything: an answer follows from the question and the port.
"""
