"""The process that trains one system on one collection with one seed, and measures it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.quality_data import Asked, Lists, Material, Sizes, load
from benchmarks.quality_pace import Pace
from benchmarks.quality_recipes import Recipe
from benchmarks.random_model import source
from benchmarks.workers import answer
from rankgrad._files import atomic_file


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Steps and seconds of the training, the chosen weight, and nDCG@10 of each test query.

    A model that an earlier, killed process has trained is taken up again.
    """
    recipe, sizes, folder = Recipe(**job["recipe"]), Sizes(*job["sizes"]), Path(job["folder"])
    material = load(job["data"], scifact=job["scifact"], sizes=sizes, quick=job["quick"])
    if recipe.library == "rankgrad":
        from benchmarks.quality_ours import score, train
    elif recipe.library == "pylate":
        from benchmarks.quality_pylate import score, train
    else:
        from benchmarks.quality_peers import score, train
    model, note = folder / "model", folder / "trained.json"
    if not note.exists():
        pace = Pace(steps=job["steps"], seconds=job["seconds"])
        _say(job, "training")
        steps = train(
            recipe, material, source(job["model"], folder, quick=job["quick"]), pace, seed=job["seed"], folder=model
        )
        _write(note, {"steps": steps, "seconds": pace.elapsed})
    trained = json.loads(note.read_text(encoding="utf-8"))
    _say(job, f"{trained['steps']} steps in {trained['seconds']:.0f} s; scoring")
    depth = sizes.pair if recipe.pair else sizes.late
    validation, test = Lists.of(material.validation, depth), Lists.of(material.test, depth)
    both = Asked([*validation.queries, *test.queries], [*validation.documents, *test.documents])
    scores, first = score(model, recipe, both), len(validation.queries)
    weight = validation.fit_weight(validation.padded(scores[:first]))
    own = test.padded(scores[first:])
    tests = _parts(
        material, test, {"BM25": test.ndcg(test.first), "pure": test.ndcg(own), "shared": test.ndcg(own, weight)}
    )
    return {"training": trained, "weight": weight, "depth": depth, "tests": tests}


def _parts(material: Material, lists: Lists, values: dict[str, Tensor]) -> dict[str, dict[str, list[float]]]:
    """The values by part of the test."""
    found = {}
    for part, ids in material.parts.items():
        rows = [row for row, name in enumerate(lists.ids) if name in ids]
        found[part] = {name: each[rows].tolist() for name, each in values.items()}
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def _say(job: dict[str, Any], text: str) -> None:
    print(f"  {Recipe(**job['recipe']).name}, {job['data']}, seed {job['seed']}: {text}", flush=True)


if __name__ == "__main__":
    answer(work)
