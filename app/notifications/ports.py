"""What notifications need from the outside, as a Protocol."""

from __future__ import annotations

from typing import Protocol

from app.core.models.notifications import Message


class Channel(Protocol):
    """A way to send messages; see `notifications/channels`."""

    async def send(self, message: Message, to: str, secret: str | None) -> None:
        """Send a message to the address `to`, signed with `secret` if the channel signs.

        Raises UndeliverableError or RejectedAddressError (permanent), or UnavailableError (try again).
        """
