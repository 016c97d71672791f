"""Everything that talks to GitHub, and to git. Nothing here knows of dbt, of the database or of our own pages.

Inwards:

* `webhook` takes deliveries: bytes, size, signature, headers; only then anything is parsed.

Outwards, REST:

* `answers` reads GitHub's answers: which status means that the thing is gone, suspended, to be tried again, or our mistake (pure)
* `api` sends one request to one host, with time limits, redirects that keep their method, and no token for anybody else
* `auth` is the App: its JWT, and one narrow installation token per repository and purpose
* `identity` keeps the App's credentials, encrypted, between starts
* `setup` makes the App from its manifest, sets its webhook, and asks how it fares
* `client` is what the flow asks for (`app.ports.GitHub`): branch heads and check runs
* `listing` finds the dbt projects of a commit, also where GitHub does not list all of its files at once
* `survey` is what the reconciler asks for (`app.ports.Survey`): installations, repositories, heads, deliveries that were lost

Outwards, as somebody else:

* `viewers` knows those who call with a token of GitHub's, and for how long what it says of them is believed (`app.ports.Callers`)
* `questions` is what GitHub is asked with such a token, `grants` what follows from its description of a repository (pure)
* `remembered` asks once however many wait, and forgets

Outwards, git:

* `git` runs one git process with an environment of our own and leaves nothing of it behind
* `tree` reads one commit: its listing, its blobs, and the tar entries that go into a container
* `mirror` is the bare repository that keeps what was fetched of one repository
* `source` fetches exactly one commit from GitHub (`app.ports.Sources`)
* `packages` fetches what `packages.yml` names by git (`app.ports.PackageSources`), `pinned` is the git for strangers' hosts,
  `revision` finds the commit of a branch, a tag or a sha
* `local` does the same for the command line: a directory or any git URL
"""
