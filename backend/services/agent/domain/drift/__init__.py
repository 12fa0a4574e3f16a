"""Detection of drift: hourly values of answers, compared with learned baselines."""
