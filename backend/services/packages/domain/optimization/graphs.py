"""Shortest paths in a directed graph with weights."""

import heapq
import itertools
from collections.abc import Collection, Mapping, Sequence

# The weight of each edge, by its start and its end.
Graph = Mapping[str, Mapping[str, float]]
Path = tuple[str, ...]


def find_paths(graph: Graph, start: str, end: str, count: int) -> list[Path]:
    """Return up to *count* shortest paths without loops, shortest first.

    Yen, "Finding the K Shortest Loopless Paths in a Network" (1971).
    """
    first = find_path(graph, start, end)
    if first is None:
        return []
    found = [first]
    candidates: dict[Path, float] = {}
    while len(found) < count:
        last = found[-1]
        for index in range(len(last) - 1):
            root = last[: index + 1]
            used = {path[index + 1] for path in found if path[: index + 1] == root}
            rest = find_path(graph, root[-1], end, avoided=root[:-1], used_ends=used)
            if rest is not None:
                path = root[:-1] + rest
                candidates[path] = get_length(graph, path)
        new = [path for path in candidates if path not in found]
        if not new:
            break
        found.append(min(new, key=lambda path: (candidates[path], path)))
    return found


def find_path(
    graph: Graph,
    start: str,
    end: str,
    *,
    avoided: Collection[str] = (),
    used_ends: Collection[str] = (),
) -> Path | None:
    """Return the shortest path by Dijkstra's algorithm, or None if there is none.

    Args:
        avoided: nodes that the path must not contain.
        used_ends: ends of the edges from *start* that the path must not begin with.
    """
    queue: list[tuple[float, Path]] = [(0.0, (start,))]
    done = set(avoided)
    while queue:
        length, path = heapq.heappop(queue)
        node = path[-1]
        if node == end:
            return path
        if node in done:
            continue
        done.add(node)
        for following, weight in graph.get(node, {}).items():
            if following in done or (node == start and following in used_ends):
                continue
            heapq.heappush(queue, (length + weight, (*path, following)))
    return None


def get_length(graph: Graph, path: Sequence[str]) -> float:
    return sum(graph[start][end] for start, end in itertools.pairwise(path))
