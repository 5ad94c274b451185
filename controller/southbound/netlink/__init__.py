"""Links of this host over netlink: the only importer of pyroute2 beside ipam.devices."""
