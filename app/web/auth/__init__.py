"""Authentication: the token of a request, service tokens and their file, rate limits."""
