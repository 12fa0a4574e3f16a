"""A program on demand: accepts one client, sends its process id, and ends when the client has.

python -m tests.operations.supervisor.stand_ins.on_demand PORT --on-demand
"""

import os
import select

from backend.chassis.inherited_sockets import MAIN, VARIABLE, open_inherited_socket


def main() -> None:
    listener = open_inherited_socket(os.environ[VARIABLE], MAIN)
    assert listener is not None
    select.select([listener], [], [])
    client, _ = listener.accept()
    client.sendall(str(os.getpid()).encode())
    client.recv(1)


if __name__ == "__main__":
    main()
