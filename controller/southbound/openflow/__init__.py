"""OpenFlow 1.4 towards the local Open vSwitch: codec, bulk channel, audit and the os-ken session.

Place: between `model.flow` and the bridge's unix sockets. The only importer of os_ken.
"""
