"""Conversations of users: message trees, run leases, approvals, history and feedback."""
