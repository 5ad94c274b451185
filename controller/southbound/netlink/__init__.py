"""Links and routes of this host over netlink."""
