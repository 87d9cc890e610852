"""Stored runs whose differences are known: every replicate of a model lies a fixed step above control's."""

from __future__ import annotations

import json

import numpy as np

from dlka.analysis.bootstrap import MEASURES
from dlka.experiments.plan import split
from dlka.experiments.stored import StoredRun

RESAMPLES, PICTURES, OBJECTS = 200, 40, 600
INTERVENTIONS = {"offsets x0": -0.03, "offsets x0.5": -0.01, "gate off": -0.2}


def stored(data, model, seed, above=0.0, noise=0.0, wobble=0.0, causes=False):
    """One run. above: AP over control, 0..1; noise: its spread over resamples; wobble: this seed's own."""
    random = np.random.default_rng([seed, len(model), *map(ord, model)])
    pictures = np.random.default_rng(0).normal(0, 0.01, (RESAMPLES, 1))  # what is common to all models
    base = np.array([0.5, 0.7, 0.3, 0.6, np.nan])
    centre = base + above + wobble
    replicates = (centre + pictures + random.normal(0, noise, (RESAMPLES, 1))).astype(np.float32)
    metrics = {name: None if np.isnan(v) else float(v) for name, v in zip(MEASURES, centre)} | {"AP75": 0.4}
    placement, offsets = split(model)
    stages = [
        {"stage": f"m.conv{n}", "label": label, "moved": 0.5, "mean_cells": cells, "content": 0.25, "varies": varies}
        | {"between_cells": 0.2 if varies else 0.04}
        for n, (label, cells, varies) in enumerate([("P3 5x5", 0.5, True), ("P3 7x7 d3", 0.1, False)])
    ]
    deforms = placement != "control" and offsets != "none"
    intervened = INTERVENTIONS if causes and deforms else {}
    side = np.random.default_rng(1).uniform(6, 60, OBJECTS).astype(np.float32)
    found = np.random.default_rng(2).uniform(0, 60, OBJECTS) < side + 100 * (above + wobble)
    return StoredRun(
        run=f"{data}/{model}-s{seed}",
        data=data,
        model=model,
        placement=placement,
        offsets=offsets,
        seed=seed,
        card={"recipe": json.dumps({"placement": placement, "epochs": 12, "seed": seed, "lr": 1e-3 * len(placement)})},
        versions={"dlka": "0", "torch": "2"},
        machine={"cpu": "a processor", "vectors": "AVX2"},
        settings={"size": 640},
        pictures=PICTURES,
        objects=OBJECTS,
        parameters=3_000_000,
        multiply_adds=4_400_000_000,
        metrics=metrics,
        classes={"square": {"AP": metrics["AP"], "objects": OBJECTS}},
        stage_offsets=stages if deforms else [],
        replicates=replicates,
        object_side=side,
        found=found,
        interventions={n: {k: None if v is None else v + d for k, v in metrics.items()} for n, d in intervened.items()},
        intervention_replicates={n: replicates + np.float32(d) for n, d in intervened.items()},
    )


def some_runs():
    """Two data sets: on one everything three times over, on the other one seed without a rigid twin."""
    runs = []
    for seed, wobble in enumerate((-0.002, 0.0, 0.002)):
        runs += [
            stored("hit-uav", "control", seed, wobble=wobble),
            stored("hit-uav", "residual", seed, 0.01, 0.002, wobble * 3, causes=True),
            stored("hit-uav", "residual-separable", seed, 0.003, 0.004, wobble * 5, causes=True),
            stored("hit-uav", "residual-rigid", seed, 0.006, 0.002, wobble),
        ]
    runs += [stored("coco-mini", "control", 0), stored("coco-mini", "stock", 0, 0.001, 0.003)]
    return runs + [stored("coco-mini", "neck", 0, -0.07, 0.002, causes=True)]
