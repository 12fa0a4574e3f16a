"""What may pass, where to, and how: the policy, without a socket or a framework."""
