"""A small language model of one's own: fetched on request, served beside the services.

python -m backend.services.agent fetch-model          fetches it
python -m backend.ai.local_model HOST PORT DATA  serves it; the start script does that
"""
