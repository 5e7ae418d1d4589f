"""HTTP and gRPC: the servers and the client that all local services share."""
