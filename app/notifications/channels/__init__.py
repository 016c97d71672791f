"""The channels: `email` passes a message to a mail server, `webhook` posts it, signed, to an address that a user entered."""
