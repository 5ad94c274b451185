"""Services: what answers the questions of ports over sockets: names, by UDP and TCP, and metadata.

Place: the process `ringfenced services` hands in sockets, the directory of names and who is behind which
address; `services.naming` says what is answered. Must not decide what a port may know.
"""
