"""Answers to requests: runs of the agent, their events and records, and OpenAI completions."""
