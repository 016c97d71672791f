"""Whether catalogs read what `format=openlineage` exports: their own readers, from the package index, in `.cache/catalogs`.

catalogs.txt          what is installed
openmetadata_reader   a program for that environment: what OpenMetadata's reader makes of events
__main__              `make catalogs`: a project's events, what has to be read of them, and what was
"""
