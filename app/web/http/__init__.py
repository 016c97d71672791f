"""What all of HTTP shares: middleware, problem documents, request parsing, content negotiation, streaming, server-sent events."""
