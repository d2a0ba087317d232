"""The results file of an evaluation: what was measured, on what, and what to know of it."""

import json
import platform
from typing import Any

from omegaconf import OmegaConf

from mmpt.io.atomic import atomic_write
from mmpt_cli.checkpoint_files import results_file


def write_results(job: Any, results: list[dict], failed: list[dict]) -> dict[str, Any]:
    """Names the best checkpoint and writes the results file, whose content comes back.

    Args:
        job: a loaded `mmpt_cli.predict.Job`.
        results: an entry a checkpoint that was evaluated, one at least.
        failed: an entry a checkpoint that could not be.
    """
    metric = job.evaluator.metric
    measured = all(result["metrics"] for result in results)
    values = [metric.best_metric(result["metrics"]) for result in results] if measured else [0.0]
    best = max(range(len(values)), key=values.__getitem__)
    compared = measured and len(results) > 1
    name, chosen = metric.metric_names[0] if compared else "", results[best]
    reasons = [f"the best by {name} of {len(results)} checkpoints on this test set"] * compared
    reasons += [chosen["selected_on_test_reason"]] * bool(chosen["selected_on_test_reason"])
    content = {
        "job": str(job.path),
        "config": OmegaConf.to_container(job.config, resolve=True),
        "versions": versions(),
        "limit": job.limit,
        "results": results,
        "failed": failed,
        "best": best,
        "selected_on_test": bool(reasons),
        "selected_on_test_reason": "; ".join(reasons) or None,
    }
    path = results_file(job.config.eval.save_path, f"{job.name}.yaml")
    with atomic_write(path) as handle:
        handle.write((json.dumps(content, indent=2) + "\n").encode())
    if compared:
        print(
            f"best by {name}: {chosen['checkpoint']} ({values[best]:.4f}), chosen on the test set "
            "itself"
        )
    if chosen["selected_on_test_reason"]:
        print(f"chosen on the test set: {chosen['selected_on_test_reason']}")
    print(f"results: {path}")
    return content


def versions() -> dict[str, str]:
    """The versions that a number depends on."""
    import numpy
    import torch
    import transformers

    import mmpt

    return {
        "mmpt": mmpt.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": numpy.__version__,
    }
