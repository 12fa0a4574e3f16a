"""The delivery engine: order, leases, attempts, proof of unknown outcomes, limits, circuits."""
