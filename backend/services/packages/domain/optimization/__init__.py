"""Choice of routes, and tours of vehicles."""
