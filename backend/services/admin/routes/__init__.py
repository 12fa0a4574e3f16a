"""HTTP routes for administrators."""
