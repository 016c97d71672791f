"""`serve`: runs the service."""

from __future__ import annotations

from app.service import server
from app.service.commands import Commands


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("serve", help="run the service")
    parser.set_defaults(command=lambda _, settings: server.serve(settings))
