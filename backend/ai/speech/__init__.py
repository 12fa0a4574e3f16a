"""Speech recognition with Whisper and decoding of audio, in bounded processes.

python -m backend.services.chat fetch-model     downloads the model
"""
