"""Administration commands: `python -m backend users|tenants|keys …`."""
