"""The chat service stores the conversations of users, teams and channels, and delivers messages.

It owns accounts of channels, contacts, conversations, messages and deliveries. Answers come from
the agent service, which it calls with the user's token or with the service account of the channel.
Callers are the gateway, the providers of channels through it, and programs.
"""
