"""Everyone that auth asks."""
