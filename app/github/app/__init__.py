"""The GitHub App itself: its tokens, credentials and registration.

auth                JWTs, and installation tokens limited to one repository and purpose
credentials_file    the encrypted file with its credentials
registration        creates the App from its manifest, sets its webhook, checks its configuration
"""
