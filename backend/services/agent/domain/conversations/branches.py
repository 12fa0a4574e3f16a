"""Message tree of a conversation: active branch and alternative branches."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol


class TreeNode(Protocol):
    """A message as a node of the tree."""

    @property
    def id(self) -> str: ...

    @property
    def parent_id(self) -> str | None: ...


def group_children(nodes: Sequence[TreeNode]) -> Mapping[str | None, Sequence[str]]:
    """Return the ids of the children of each message, oldest first. The key None is the root."""
    children: dict[str | None, list[str]] = defaultdict(list)
    for node in nodes:
        children[node.parent_id].append(node.id)
    return children


def get_branch(nodes: Sequence[TreeNode], leaf_id: str | None) -> list[str]:
    """Return the message ids from the root to *leaf_id*; an empty list if it is None."""
    parents = {node.id: node.parent_id for node in nodes}
    ids: list[str] = []
    while leaf_id is not None:
        ids.append(leaf_id)
        leaf_id = parents[leaf_id]
    return ids[::-1]


def find_latest_leaf(nodes: Sequence[TreeNode], message_id: str) -> str:
    """Return the last message of the newest branch through *message_id*."""
    children = group_children(nodes)
    while children.get(message_id):
        message_id = children[message_id][-1]
    return message_id
