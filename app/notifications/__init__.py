"""Who is notified when a lineage breaks, falls behind or recovers.

rules           who is notified of what (pure)
messages        the texts of emails and webhooks (pure)
dispatcher      evaluates connections, queues messages and sends them
ports           what a channel implements, as a Protocol
channels/       email and signed webhooks
"""
