"""ETA quantiles and the probability of lateness, computed from lane statistics."""
