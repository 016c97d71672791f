"""What answers over HTTP: `routes` is the table of contents, `api` the JSON, `pages` the HTML, `sse` what is told while it happens.

Edges do not know each other: what this room needs of the others comes as ports under the keys of `keys`.
"""
