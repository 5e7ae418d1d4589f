"""HTTP and gRPC code that all local services share: serving requests and sending them."""
