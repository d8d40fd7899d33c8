"""Who imports whom: `python tests/imports.py [SOURCE TREE]` counts what runs upward.

In each folder its files and folders are nodes; an import between two modules is an arrow between
the nodes that hold them, in the folder where their paths part. An import counts wherever it stands:
at the top, in a function, for types alone, as `import a.b` or `from a import b`.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "relay_gguf"
BESIDE = ("convert", "quant_presets")
"""Packages within relay_gguf whose folders the source tree has beside it."""

Graph = Mapping[str, set[str]]


def sources(root: Path = ROOT) -> dict[str, Path]:
    """Module → file, for a source tree; names are whole, `relay_gguf.llama.load`."""
    folders = {PACKAGE: root / PACKAGE} | {f"{PACKAGE}.{name}": root / name for name in BESIDE}
    found = {}
    for package, folder in folders.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


@cache
def imports(module: str, path: Path) -> frozenset[str]:
    """What a module imports, by whole names: `numpy`, `relay_gguf.errors.RelayError`."""
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parts if node.level else []), *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(found)


def graph(files: Mapping[str, Path]) -> dict[str, set[str]]:
    """Module → the modules of ours that it imports."""

    def ours(name: str) -> str | None:
        while name and name not in files:
            name = name.rpartition(".")[0]
        return name or None

    found = {}
    for module, path in files.items():
        named = {ours(name) for name in imports(module, path)}
        found[module] = {name for name in named if name} - {module}
    return found


def levels(modules: Graph) -> dict[str, dict[str, set[str]]]:
    """Folder → its own graph of files and folders."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for module, others in modules.items():
        for other in others:
            here, there = module.split("."), other.split(".")
            n = next((n for n, (a, b) in enumerate(zip(here, there)) if a != b), None)  # noqa: B905
            if n is None:  # a package and its own inside
                continue
            folder = ".".join(here[:n])
            found[folder][here[n]].add(there[n])
            found[folder][there[n]]  # a node, whether it imports or not
    return found


def circles(nodes: Graph) -> list[set[str]]:
    """The sets of nodes, larger than one, that reach one another."""
    reached = {node: set(_reach(nodes, node)) for node in nodes}
    found: list[set[str]] = []
    for node in nodes:
        circle = {other for other in reached[node] if node in reached.get(other, ())}
        if len(circle) > 1 and circle not in found:
            found.append(circle)
    return found


def upward(nodes: Graph) -> list[tuple[str, str]]:
    """The arrows that run back up, in an order of the nodes that has few of these.

    Nodes are taken from the top: next is one that no other node imports, or where there is none,
    the one with the most arrows out against those in (Eades, Lin and Smyth 1993).
    """
    left, order = set(nodes), list[str]()
    while left:
        n_in = {n: sum(n in nodes[other] for other in left) for n in left}
        n_out = {n: len(nodes[n] & left) for n in left}
        free = sorted(n for n in left if not n_in[n])
        top = free[0] if free else max(sorted(left), key=lambda n: n_out[n] - n_in[n])
        order.append(top)
        left.remove(top)
    floor = {node: n for n, node in enumerate(order)}
    return [(a, b) for a in order for b in sorted(nodes[a]) if floor[b] < floor[a]]


def _reach(nodes: Graph, start: str) -> Iterator[str]:
    seen, todo = set[str](), list(nodes[start])
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            yield node
            todo.extend(nodes.get(node, ()))


def report(root: Path) -> Iterator[str]:
    """A line for each folder whose inside has a circle, and the sums."""
    modules = graph(sources(root))
    inside = levels(modules)
    back = {folder: upward(nodes) for folder, nodes in inside.items()}
    for folder, arrows in sorted(back.items()):
        if arrows:
            yield f"{folder}: {', '.join(f'{a} -> {b}' for a, b in arrows)}"
    n_circles = sum(len(circles(nodes)) for nodes in inside.values())
    yield f"{len(modules)} modules, {sum(map(len, modules.values()))} imports among them"
    yield f"{sum(map(len, back.values()))} arrows run upward, {n_circles} circles of folders"
    yield f"{len(circles(modules))} circles of files, of {_sizes(circles(modules))} files"


def _sizes(found: Iterable[set[str]]) -> str:
    return ", ".join(str(len(circle)) for circle in found) or "no"


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    sys.stdout.write("".join(f"{line}\n" for line in report(root)))
