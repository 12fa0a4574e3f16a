"""Commands of the agent service: evaluations and replays of recorded runs."""
