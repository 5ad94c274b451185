"""Audit: what the store, the hosts and the fabrics say of each VF, side by side. Pure, and mends nothing."""
