"""Rules of the packages service, without HTTP."""
