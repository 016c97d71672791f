"""HTML for browsers: the page of an extraction, and `/setup`."""
