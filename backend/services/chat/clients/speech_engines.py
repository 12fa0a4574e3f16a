"""The configured engines of speech recognition and speech output."""

from backend.ai.speech.embedded import EmbeddedTranscriber, EspeakSynthesizer
from backend.ai.speech.engines import Synthesizer, Transcriber
from backend.ai.speech.settings import SpeechServer, SpeechSettings
from backend.services.chat.clients.speech_servers import ServerSynthesizer, ServerTranscriber


def create_transcriber(settings: SpeechSettings) -> Transcriber | None:
    """Return the engine of VOICE_STT, or None if it is off."""
    if isinstance(settings.recognition, SpeechServer):
        return ServerTranscriber(settings.recognition)
    return EmbeddedTranscriber(settings) if settings.recognition == "embedded" else None


def create_synthesizer(settings: SpeechSettings) -> Synthesizer | None:
    """Return the engine of VOICE_TTS, or None if it is off."""
    if isinstance(settings.output, SpeechServer):
        return ServerSynthesizer(settings.output)
    return EspeakSynthesizer() if settings.output == "espeak" else None
