"""Explanations of downloads that failed, by the code of the error."""

from typing import Final

_DETAILS: Final = {
    "expired": "The provider no longer has the file. Ask the sender to send it again.",
    "host_not_allowed": (
        "The file is at a host that this channel may not download from. For an account of the "
        "channel generic, add the host to the setting media_hosts, as host:port if its port is "
        "not 443. A private host must be in CHAT_PRIVATE_HOSTS too."
    ),
    "no_download": "The channel has no downloads of files. Ask the sender for another way.",
    "no_response": "The host of the file did not respond in time. Ask the sender to send it again.",
    "not_authorized": (
        "The provider refused the credentials of the account. Replace them with credentials that "
        "may read files, then ask the sender to send the file again."
    ),
    "not_found": "The provider does not know the file. Ask the sender to send it again.",
    "too_large": "The file has more than 25 MB. Ask the sender for a smaller file.",
    "too_many_redirects": "The address of the file redirects too often. Ask the sender for a link.",
    "unreachable": (
        "The host of the file is unreachable. Check the network of the worker, then ask the sender "
        "to send the file again."
    ),
}


def explain_download_error(code: str) -> str:
    """Return what was wrong with a download, and what to do."""
    if code in _DETAILS:
        return _DETAILS[code]
    status = code.removeprefix("http_")
    if status != code:
        return (
            f"The host of the file responded with status {status}. Check that the account may read "
            "files, then ask the sender to send the file again."
        )
    return "The file could not be downloaded. Ask the sender to send it again."
