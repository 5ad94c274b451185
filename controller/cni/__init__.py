"""`ringfence-cni`: the CNI plugin that gives containers the interfaces of a gang.

Place: run by a container runtime or by another CNI plugin, once for each interface; reads what the agent
wrote about this host's gangs, and keeps who has which. Starts in tens of milliseconds: of Python's library
only what is small, and nothing of ours outside of this folder. Must not ask the store, the API or the agent.
"""
