"""EVPN on the wire: NLRI, path attributes, UPDATE messages as bytes, and back.

Place: between the speaker (which carries bytes) and originate, guard and learn (which hold values). Our own,
because ExaBGP 5.0.15 decodes half of what EVPN sends. Must not judge a route, do I/O, or raise anything but
`bgp.codec.malformed.Malformed`, whatever the bytes are.
"""
