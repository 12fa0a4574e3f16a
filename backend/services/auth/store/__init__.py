"""Tables of the auth service and the queries on them."""
