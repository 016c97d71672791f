"""Authentication: the token of a request, service tokens and their file, sessions, operators, rate limits."""
