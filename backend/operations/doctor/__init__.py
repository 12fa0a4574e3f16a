"""What the doctor asks of each service, in a process of its own.

Whether its settings can be read and its tables are in order is looked at here; what else can
be wrong with it, the service knows: `findings` in its `checkup.py`.
"""
