"""The only place where the rooms meet.

server          the service: each component's lifetime is one generator
config          the environment, read in one place
config_errors   what people read about a variable that cannot be used
values          how values of variables are written
caches          where commits and packages come from, and what is kept of them
components      the parts that the service and the commands share
app_identity    which GitHub App this service is
maintenance     background upkeep: warm containers, leftover containers, caches
commands/       the command line
"""
