"""The Docker backend of the runner.

backend         DockerRunner, the port
container       a container of the engine: create, attach, start
lifetime        creates containers, and deletes them in any case
isolation       the settings of a container that isolate and limit it
capabilities    what the engine can do to isolate containers
engine          the connection to the engine, and its errors as ours
images          finds the runner images of the engine
build           builds runner images from a checkout
"""
