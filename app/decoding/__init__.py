"""Big manifests: read by a process of their own, so that neither the event loop nor the service's memory feels their size.

`pool` keeps such processes and gives them manifests, `process` is the program that they run, and `spooled` is what goes back: a file
with every node as PostgreSQL's COPY takes it, of which the store reads the nodes that it does not have yet.
"""
