"""Every lease, delay and number of attempts of the background work, in one place.

A lease is how long a claim is valid. If a process dies, another one takes over after the lease has expired; if it stops, it hands the
work back. A lease has to last longer than the work, or be renewed while the work goes on.
"""

from __future__ import annotations

from datetime import timedelta

# -- extractions (worker) --------------------------------------------------------------------------------------------

EXTRACTION_LEASE = timedelta(seconds=20)
"""Renewed while the extraction runs. After four missed heartbeats, another worker starts it again."""
HEARTBEAT_S = 5.0
"""Between renewals of the leases, and between searches for expired ones."""
WORKER_IDLE_S = 2.0
"""Without a wakeup, a worker looks for work after this time: for retries that are due, and for the next extraction of a fork."""
STORE_RETRIES_S = (0.2, 1.0, 5.0)
"""Waits for an unavailable database when an extraction has ended; in total less than its lease."""
EXTRACTION_ATTEMPTS = 3
"""For temporary problems, such as an unavailable engine or GitHub."""
EXTRACTION_OUTAGES = 20
"""Attempts that an outage of the database may end without being counted. After them, the extraction itself may be what it fails at."""

# -- checking partial parses (verification) --------------------------------------------------------------------------

VERIFICATIONS_WAITING = 20
"""In this process; more of them push out the oldest of the installation that has the most."""
VERIFICATION_ATTEMPTS = 3
"""How often one gives way to extractions and begins again."""

# -- what extractions are compared with (impacts) --------------------------------------------------------------------

BASE_WAIT_S = 5.0
"""After the columns are stored, how long GitHub's answer is waited for."""
COMPARING_S = 30.0
"""The time limit of one comparison."""
IMPACT_LEASE = timedelta(minutes=2)
"""Longer than looking for the commit to compare with, and `COMPARING_S`."""
BASES_QUEUED = 20
"""Commits of one installation that wait in the background; more of them wait for their turn to be queued."""
ROOM_AGAIN = timedelta(minutes=1)
"""After there was no room for one more."""
WAIT_AGAIN = timedelta(minutes=5)
"""The end of an extraction wakes what waits for it. This is in case that was missed."""
FIND_ATTEMPTS = 4
"""For finding the commit to compare with after GitHub did not answer, over half an hour."""

# -- check runs (outbox) ---------------------------------------------------------------------------------------------

CHECK_RUN_LEASE = timedelta(seconds=40)
"""A request to GitHub times out after 15 seconds; a check run usually takes one request, rarely three."""
CHECK_RUN_SENDING_S = 30.0
"""After this time nothing more is sent under a lease: a request on its way arrives before the lease ends."""
CHECK_RUN_RELEASE = timedelta(seconds=3)
"""A stopped process may just have sent a request. After this time it has arrived, so the next one finds its check run."""
CHECK_RUN_STRAYS = timedelta(minutes=3)
"""A request that timed out may be kept by the network for so long, and create a second check run when it arrives."""
CHECK_RUN_LATE = timedelta(minutes=5)
"""If a check run is created later than this after its extraction was queued, the database may be a restored one that does not know it."""
CHECK_RUN_PAUSE = timedelta(seconds=1)
"""Changes of a running extraction within this time are sent together; its end is sent immediately."""
CHECK_RUN_ATTEMPTS = 12
"""Of one state, over about a day."""

# -- notifications ---------------------------------------------------------------------------------------------------

SEND_S = 90.0
"""The time limit of a channel for one message."""
MESSAGE_LEASE = timedelta(minutes=2)
"""Longer than `SEND_S`."""
MESSAGE_ATTEMPTS = 13
"""Of one message, over about a day."""

LONGEST_DELAY = timedelta(hours=4)
"""Between two attempts of a check run, or of a message."""

# -- search (search_updates) ------------------------------------------------------------------------------------------

SEARCH_LEASE = timedelta(minutes=2)
"""For one step of one connection, which takes less than a second."""
SEARCH_ATTEMPTS = 5
"""Of one step that fails for an unknown reason, over ten minutes."""

# -- comparing with GitHub (reconciler) ------------------------------------------------------------------------------

START_S = 1.0
"""Gives the web server time to listen before GitHub is asked to redeliver."""
SURVEY_LEASE = timedelta(minutes=5)
"""For listing the repositories of one installation, possibly thousands."""
LOOK_LEASE = timedelta(minutes=1)
"""For looking at the branches of one repository."""
LOOK_ATTEMPTS = 10
"""Then the repository waits for the next event or survey."""
LOOK_AGAIN = timedelta(hours=1)
"""A repository with a connection is looked at this often even if GitHub says that nothing was pushed."""
COMPARE_EVERY = timedelta(minutes=5)
"""How often GitHub is asked for what we may have missed."""
SURVEY_AGAIN = COMPARE_EVERY / 5
"""The shortest delay after a survey that GitHub did not answer."""
CHORES_AWAY_S = 2.0
"""While the database is unavailable: lost deliveries are requested as soon as it is back."""
CHORE_LEASE = timedelta(seconds=20)
"""Renewed while the chore goes on."""
CHORE_RENEWAL_S = 5.0
CHORE_RETRY_S = 30.0
"""After GitHub was unavailable."""
REPAIR_AGAIN_S = 15.0
"""The shortest time between two requests for lost deliveries, however many are lost."""
DELIVERIES_AGAIN = timedelta(seconds=15)
"""After the first request for lost deliveries: GitHub had not given up some of them yet."""
ASLEEP_S = 60.0
"""A process that did nothing for so long was suspended, and may have missed deliveries."""
PURGE_EVERY = timedelta(hours=1)
HISTORY_EVERY = timedelta(hours=6)

# -- loops (loop) ----------------------------------------------------------------------------------------------------

IDLE_S = 15.0
"""Without a wakeup, a loop looks for work after this time; it also waits this long after an error."""
OUTBOX_AWAY_S = 1.5
"""Shorter than the others, because people watch check runs."""
SHORTEST_WAIT_S = 0.01
"""Prevents a busy loop due to rounding, just before something is due."""
SHORTEST_NOTIFICATION_WAIT_S = 0.2
"""Longer than the others, because nobody waits for a notification."""

# -- the host (service/maintenance) ----------------------------------------------------------------------------------

SWEEP_AGAIN_S = 10.0
"""While the engine is unavailable."""
SWEEP_EVERY_S = 30.0
"""How often leftover containers are looked for: one request to the engine."""
TIDY_EVERY_S = 3600.0
"""How often caches are shrunk to their limits."""
