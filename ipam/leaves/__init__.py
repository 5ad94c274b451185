"""Leaves: rules that the owner of leaf switches sets on the ports that VF rails are plugged into. Pure."""
