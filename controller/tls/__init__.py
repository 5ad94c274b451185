"""TLS: who an end of a connection is, and whom it believes. For uploads and the store, at both ends."""
