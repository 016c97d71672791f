"""How long tests wait. They wait for events; this ends those that would wait for ever."""

HANGS_S = 240.0
"""What takes longer hangs: twenty times what the slowest step takes on a quiet machine, and less than the service takes to find by itself
what it missed (`app.pipeline.leases.COMPARE_EVERY`)."""
