"""Process supervisor: starts, watches, restarts and stops the whole suite on one host.

It uses only the standard library, because it also runs before any package is installed. `plan`
decides what to run, `supervise` runs it, and `commands` implements the commands of
`start_microservices.sh`.
"""
