"""What an operator does at the command line: `python -m backend users|tenants|keys …`."""
