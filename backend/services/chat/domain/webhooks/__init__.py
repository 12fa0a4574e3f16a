"""Reception of webhooks: verification, storage of their events, replay of failed ones."""
