"""The Docker backend of the runner.

backend         DockerRunner, the port
jobs            runs one job in one container, warm if possible
later_output    what a container writes after its manifest
drains          reads that in the background
warm_pool       containers that are started and warmed ahead of their jobs
container       one single-use container: create, attach, hand over a job, delete
lifetime        creates containers, and deletes them in any case
streams         a container's standard streams over one connection
isolation       the settings of a container that isolate and limit it
capabilities    what the engine can do to isolate containers
engine          the connection to the engine, and its errors as ours
images          finds the runner images of the engine
build           builds runner images from a checkout
"""
