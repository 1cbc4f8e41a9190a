//! The adapters that carry the protocols: TCP, Unix socket, HTTP, gRPC.
