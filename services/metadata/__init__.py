"""Metadata: what a port's workload is told of itself, in the shapes that EC2 and cloud-init's NoCloud have.

Place: `controller.services` hands in requests and sends the responses. A request is answered from the facts
of the port that it came from; no other port's are ever looked at.
"""
