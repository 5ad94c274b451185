"""TLS: who an end of a connection is, and whom it believes. For uploads, at both ends."""
