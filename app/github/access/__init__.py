"""What callers with a GitHub token may do (`core.models.callers.Callers`).

viewers         identifies callers, and caches GitHub's answers for a short time
queries         requests to GitHub with the caller's token
operators       who operates this service
grants          the rights that follow from GitHub's description of a repository (pure)
cache           answers with a limited lifetime; concurrent calls share one request
"""
