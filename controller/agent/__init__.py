"""The agent of one hypervisor: store + local OVS in, flows + EVPN routes out, counters back."""
