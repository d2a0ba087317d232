"""The planted structure: steps with words and feature directions, tasks made of steps."""

from typing import NamedTuple

import numpy as np

from mmpt.demo.settings import FEATURE_WIDTH, CorpusSettings, stream
from mmpt.demo.words import DOMAINS

BACKGROUNDS = 8


class Step(NamedTuple):
    """One concept: what is done to what."""

    verb: str
    object: str
    domain: str

    @property
    def name(self) -> str:
        """What an annotation calls it."""
        return f"{self.verb} {self.object}"


class Task(NamedTuple):
    """An instruction video's plan: the indices of its steps, in order."""

    name: str
    steps: tuple[int, ...]


class World(NamedTuple):
    """All that videos and captions are made from.

    Attributes:
        steps: K steps.
        tasks: every step is in at least one; borrowed ones are in several.
        step_directions: [K, 512] float32, rows of length 1; steps that share a verb or an object
            look alike (cosine about 1/3).
        background_directions: [8, 512] float32, rows of length 1, of no step.
    """

    steps: tuple[Step, ...]
    tasks: tuple[Task, ...]
    step_directions: np.ndarray
    background_directions: np.ndarray


def build_world(settings: CorpusSettings) -> World:
    """Draws steps, tasks and directions from the corpus' seed."""
    rng = stream(settings.seed, "world")
    steps = _draw_steps(settings.steps, rng)
    tasks = _draw_tasks(steps, settings.tasks, settings.shared_steps, rng)
    verbs = {step.verb: _directions(1, rng)[0] for step in steps}
    objects = {step.object: _directions(1, rng)[0] for step in steps}
    shared = np.stack([verbs[step.verb] + objects[step.object] for step in steps])
    return World(
        steps=steps,
        tasks=tasks,
        step_directions=unit_rows(_directions(len(steps), rng) + shared),
        background_directions=_directions(BACKGROUNDS, rng),
    )


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """[R, D] -> [R, D], every row divided by its length."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _directions(count: int, rng: np.random.Generator) -> np.ndarray:
    return unit_rows(rng.standard_normal((count, FEATURE_WIDTH), dtype=np.float32))


def _draw_steps(count: int, rng: np.random.Generator) -> tuple[Step, ...]:
    """Distinct (verb, object) pairs, the domains taking turns."""
    decks = []
    for domain, (verbs, objects) in DOMAINS.items():
        pairs = [Step(verb, thing, domain) for verb in verbs for thing in objects]
        decks.append([pairs[i] for i in rng.permutation(len(pairs))])
    return tuple(decks[i % len(decks)][i // len(decks)] for i in range(count))


def _draw_tasks(
    steps: tuple[Step, ...], count: int, shared: int, rng: np.random.Generator
) -> tuple[Task, ...]:
    """Deals the steps out domain by domain, then lets every task borrow some of the others'."""
    by_domain = sorted(range(len(steps)), key=lambda i: (steps[i].domain, i))
    tasks = []
    for number, own in enumerate(np.array_split(np.array(by_domain), count)):
        others = np.setdiff1d(np.arange(len(steps)), own)
        borrowed = rng.choice(others, size=min(shared, len(others)), replace=False)
        order = rng.permutation(np.concatenate([own, borrowed]))
        domain = steps[own[0]].domain
        tasks.append(Task(f"{domain} job {number}", tuple(int(i) for i in order)))
    return tuple(tasks)
