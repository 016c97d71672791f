"""The GitHub App itself: its tokens, credentials and registration.

auth                JWTs, and installation tokens limited to one repository and purpose
credentials_file    the encrypted file with its credentials
sign_in             people's tokens: authorize, exchange, renew, revoke
registration        creates the App from its manifest, sets its webhook, checks its configuration
"""
