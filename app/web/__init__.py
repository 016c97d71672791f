"""HTTP: `routes` is the table of contents, `api/` the JSON API, `pages/` the HTML, `http/` and `auth/` what both share.

This room imports no other edge; it gets what it needs of them through the application keys in `keys`.
"""
