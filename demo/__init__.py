"""The whole path on a sample project: our service, a real engine and database, and a double in GitHub's place."""
