"""HTTP to untrusted addresses: only to public ones, or to hosts that the operator allows.

addresses       which URLs are allowed, by their text alone
resolver        resolves names, and refuses those that lead into a private network
session         an aiohttp session that only connects to checked IP addresses
"""
