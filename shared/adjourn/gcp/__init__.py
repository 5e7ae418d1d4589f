"""The edge to Google Cloud: the only modules that import google or grpc, and on first use."""
