"""HTTP routes of the agent service: permissions, request and response schemas."""
