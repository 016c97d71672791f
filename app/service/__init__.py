"""The only place where the rooms meet.

server          the service: each component's lifetime is one generator
config          the environment, read in one place
config_errors   what people read about a variable that cannot be used
deprecations    settings with a new name
values          how values of variables are written
caches          where commits and packages come from, and what is kept of them
components      the parts that the service and the commands share
app_identity    which GitHub App this service is
open_files      the limit that connections of clients need
maintenance     background upkeep: warm containers, leftover containers, caches
commands/       the command line
"""
