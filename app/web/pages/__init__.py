"""HTML for browsers.

frame            what all pages share: templates, addresses, headers, pages of errors
visitor          who looks, and what they may see
assets           stylesheets, scripts and pictures
repositories     the start page: all connections
connection       the page of a connection
connection_quality  … what was counted and found of its quality
explorer         the lineage: drawn by its script, and in words
node             the page of a node
node_facts       … what its type has, in words and as JSON
node_columns     … its columns
node_links       … addresses
node_results     … what dbt's own runs said of it
missing_commit   … and the explorer, where a commit has no lineage
sign_in          signing in with GitHub, and out
search           `/search`, and the field in every header
extraction       the page of an extraction
operations       the whole service, for its operators
service_figures  what that page shows
setup            `/setup`, which creates the GitHub App
setup_access     who may use it
"""
