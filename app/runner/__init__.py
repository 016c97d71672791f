"""Runs dbt isolated in containers: the backends of the port `pipeline.ports.Runner`.

backend         ContainerRunner, the port without an engine
jobs            runs one job in one container, warm if possible
acceptance      finds the container that accepts a job
container       one single-use container: hand over a job, wait for its result
streams         a container's standard streams over one connection
later_output    what a container writes after its manifest
drains          reads that in the background
warm_pool       containers that are started and warmed ahead of their jobs
warm_container  one of these
warm_demand     how many warm containers are needed, and for what (pure)
cleanup         deletes containers in any case
job_protocol    the lines of JSON that are sent to a container, and what it answers
job_archive     the tar archive that is sent to it
outcome         the outcome of a job: its result, or an error
profile         stub profiles without any secret
columns         why a container gave no columns
parse_state     what the last job of a connection left for the next one
docker/         the Docker backend
kubernetes/     the Kubernetes backend
program/        the program inside the image; it never runs in this process
"""
