"""A small language model that runs on this host, downloaded on request.

python -m backend.services.agent fetch-model     downloads it
python -m backend.ai.local_model HOST PORT DATA  serves it; the start script runs this command
"""
