"""The service under load, as a process of its own: `python -m tests.load` prints what it counted.

part        what is measured: rows of the table, and violations
world       a PostgreSQL, the double of GitHub with repositories, and the service with a dbt in miniature
process     what the system says of a process: memory, files, threads, children
deliveries  a crowd of webhook deliveries while extractions run
viewers     hundreds of event streams, and people who never read theirs
flatness    what a thousand extractions leave
strangers   silent connections and half-sent bodies
"""
