"""Decodes manifests and columns documents in separate processes, so big ones neither block the event loop nor fill the service's memory.

pool             runs the processes and gives them their work
process          their program
spooled_rows     their result: a file with rows in the format of PostgreSQL's COPY, from which the store reads those that it lacks
spooled          such a file with a lineage
spooled_columns  such a file with the columns of a lineage
document_redaction  masks secrets in the texts of a columns document
inline           the same without processes, for the command line
"""
