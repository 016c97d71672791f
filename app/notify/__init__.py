"""Mails and webhooks: the ways to those who want to be told.

`mail` hands a message to the operator's mail server, `webhook` posts it, signed, to a stranger's address.
"""
