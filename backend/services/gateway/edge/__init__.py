"""The gateway's own carrier: HTTP/1.1 on uvloop, from the socket to the service and back."""
