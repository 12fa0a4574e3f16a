"""The tree of a conversation's messages: which branch is shown, and where others lie."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol


class Node(Protocol):
    """A message, as far as the tree is concerned."""

    @property
    def id(self) -> str: ...

    @property
    def parent_id(self) -> str | None: ...


def alternatives(nodes: Sequence[Node]) -> Mapping[str | None, Sequence[str]]:
    """For each message, and for None as the root, the ids of what follows it, the oldest first."""
    found: dict[str | None, list[str]] = defaultdict(list)
    for node in nodes:
        found[node.parent_id].append(node.id)
    return found


def branch(nodes: Sequence[Node], leaf_id: str | None) -> list[str]:
    """The ids from the first message to *leaf_id*."""
    parents = {node.id: node.parent_id for node in nodes}
    ids: list[str] = []
    while leaf_id is not None:
        ids.append(leaf_id)
        leaf_id = parents[leaf_id]
    return ids[::-1]


def leaf_below(nodes: Sequence[Node], message_id: str) -> str:
    """The end of the branch through *message_id* that was begun last."""
    following = alternatives(nodes)
    while following.get(message_id):
        message_id = following[message_id][-1]
    return message_id
