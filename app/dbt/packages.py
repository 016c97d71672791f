"""Installed packages on their way from one container to the next: what is in the archive is a container's and is not looked at."""

from app.spool import MAX_IN_MEMORY, Spool

__all__ = ["MAX_IN_MEMORY", "SpooledPackages"]

SpooledPackages = Spool
"""A `ports.PackageTree`."""
