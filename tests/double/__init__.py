"""A stateful GitHub over real HTTP and real git, for integration tests, end-to-end tests and the demo.

Nothing is patched: the App under test uses :attr:`GitHubDouble.api_url` and :attr:`GitHubDouble.server_url`. From the outside in:

``double``           the control API for tests: installing the App, its webhooks, its check runs; built on
``people``           tokens of users, other Apps and workflows, on
``pulls``            forks, pull requests and merge queues, on
``pushes``           repositories and pushes, and on
``lifecycle``        start, stop, and recorded requests
``server``           the aiohttp application: middlewares for recording, faults, errors, rate limits and ETags, and all routes
``apps``             ``/app…``: the App itself, its hook, its installations, installation tokens
``registration``     creates an App from a manifest: ``/settings/apps/new``, where the browser posts it, and ``/app-manifests/…``
``oauth``            ``/login/oauth/…``: people authorize the App, and it gets and renews their tokens
``users``            ``/user…``, ``/rate_limit`` and ``/applications/…``: endpoints for users' tokens
``repos``            ``/repos/…``: repositories, branches, commits, references, trees
``histories``        ``/repos/…/commits`` and ``/repos/…/compare/…``
``check_runs``       ``/repos/…/check-runs``; ``check_rules`` validates check runs as GitHub does, with pure functions
``smart_http``       ``/{owner}/{name}.git``: git's own ``http-backend`` behind GitHub's authentication
``events``           payloads of webhooks; ``hookshot`` signs, sends and records them
``views``            GitHub's JSON for users, repositories, commits, check runs (``links``: its many URLs; ``pull_views``: pull requests)
``rest``             shared by REST handlers; ``errors`` is GitHub's JSON for errors
``auth``             App JWTs, installation tokens, permissions
``git``              bare repositories through git's plumbing
``faults``           injected faults between the App and GitHub
``schema``           GitHub's own schema (githubkit's models) applied to requests, responses and events
``state``            dataclasses shared by all of these
"""

from tests.double.double import GitHubDouble
from tests.double.faults import Answer, Delay, LateAnswer, LostAnswer, Reset
from tests.double.git import Content, Executable, Submodule, Symlink
from tests.double.state import (
    App,
    CheckRun,
    Delivery,
    Installation,
    PullRequest,
    RecordedRequest,
    Repository,
    Token,
    TokenForm,
    Transition,
)

__all__ = [
    "Answer",
    "App",
    "CheckRun",
    "Content",
    "Delay",
    "Delivery",
    "Executable",
    "GitHubDouble",
    "Installation",
    "LateAnswer",
    "LostAnswer",
    "PullRequest",
    "RecordedRequest",
    "Repository",
    "Reset",
    "Submodule",
    "Symlink",
    "Token",
    "TokenForm",
    "Transition",
]
