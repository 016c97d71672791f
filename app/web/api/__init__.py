"""The JSON API: one module a noun, each with its table of operations at the end. A handler queries the store once and returns a schema."""
