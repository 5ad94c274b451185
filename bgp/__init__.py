"""BGP EVPN: snapshot -> routes, received routes -> reachability.

Pure, but for `bgp.client` (the agent's end of the speaker's socket) and `bgp.speaker` (ExaBGP, the only
importer of exabgp). Must not know OpenFlow, the store's tables or the allocator.
"""
