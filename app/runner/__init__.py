"""Runs dbt isolated in containers: the backends of the port `pipeline.ports.Runner`.

job_protocol    the lines of JSON that are sent to a container, and what it answers
job_archive     the tar archive that is sent to it
outcome         the outcome of a job: its result, or an error
profile         stub profiles without any secret
columns         why a container gave no columns
parse_state     what the last job of a connection left for the next one
warm_demand     how many warm containers are needed, and for what (pure)
docker/         the Docker backend
program/        the program inside the image; it never runs in this process
"""
