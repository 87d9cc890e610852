"""The experiment as data: which models are trained on which data, from where, with which settings, with which seeds.

Everything to change stands in PLAN. Data sets are names of folders below the one that a rerun is given; nothing here
looks at a disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from dlka.errors import DlkaError
from dlka.experiments.defaults import DefaultTraining
from dlka.models.catalog import SIZE, measured_size
from dlka.models.placements import PLAIN, RIGID, SCRATCH
from dlka.train.recipe import Recipe

STOCK = "stock"  # the stock YOLOv8 weights that a rerun is given: the model word, and where most recipes start
START = "start"  # the model word of a start that is itself trained first
CONTROL = "control"
# The ending of a model word -> `offsets` of its recipe.
VARIANTS = {"": "dense", "-separable": "separable", "-rigid": "none", "-features": "features"}
# Before that ending, what `own` has for these words: replaced blocks are first fitted to the stock ones (fit_epochs),
# or more epochs, as many as take the time that a slower model needs.
FITTED, LONGER = "-fitted", "-longer"


@dataclass(frozen=True)
class Experiment:
    """One data set's part of the plan.

    data: the name of the folder, and title that of the experiment, where another one has the same data.
    models: words, a placement with or without an ending of VARIANTS. settings: fields of Recipe that all models of
    the data set share, whatever their placement; own: what a model word has instead. start: settings of a control
    model that is trained first, from the stock weights, and that all models then start from; or the id of another
    experiment's run; "none": from nothing; None: they start from the stock weights themselves. one_seed: words of
    models that are trained with the first seed alone.
    causes: words of the models whose first seed is also measured with every intervention, which takes several times as
    long.
    stock: the stock weights are measured as well (they know the classes). chosen: a sentence for the report on how
    the settings came to be.
    """

    data: str
    models: Sequence[str]
    seeds: Sequence[int]
    settings: Mapping[str, Any]
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    start: Mapping[str, Any] | str | None = None
    by_default: bool = False
    one_seed: Sequence[str] = ()
    causes: Sequence[str] = ()
    stock: bool = False
    chosen: str = ""
    title: str = ""

    @property
    def name(self) -> str:
        """What its runs and its part of the report are called."""
        return self.title or self.data


@dataclass(frozen=True)
class Step:
    """One run: a model to be trained and measured. name: that of the experiment; data: that of the folder. recipe: its
    `data` and `unlabelled` are names of folders, its `start` and `teacher` STOCK or the id of another step; None: the
    stock weights as they are. causes: whether interventions are measured, too."""

    name: str
    data: str
    model: str
    seed: int
    recipe: Recipe | DefaultTraining | None = field(repr=False)
    causes: bool = False

    @property
    def id(self) -> str:
        """For example "hit-uav/residual-s1"."""
        return f"{self.name}/{self.model}-s{self.seed}"

    @property
    def size(self) -> int:
        """The longer side of a picture in pixels when it is measured."""
        return measured_size(self.recipe.size, self.recipe.start == SCRATCH) if self.recipe else SIZE

    @property
    def stem(self) -> str:
        """The id as the name of a file."""
        return self.id.replace("/", "-")


PLACED = ("residual", "neck", "head", "neck-head")
ENDINGS = ("", "-separable", "-rigid")  # of VARIANTS, those of the experiments with a pyramid
EVERY = tuple(word for p in PLACED for ending in ENDINGS if (word := p + ending) != "neck-head-rigid")
CROPS = {"size": 640, "crop": 320, "bfloat16": True}
WIDE = {"size": 640, "crop": 448, "bfloat16": True, "epochs": 3, "batch": 4}
TWINS = (CONTROL, *(f"residual{ending}" for ending in ENDINGS))
# From weights of another kind of pictures, with the backbone as it is: what is new learns fast, the rest moves, too.
TRANSFER = {"batch": 8, "lr": 3e-3, "copied_lr": 1e-3, "offset_lr": 1e-3, "bfloat16": True}
SCENES = Experiment(
    "scenes",
    models=(CONTROL, "one-level-plain", "one-level-rigid", "one-level-features", "one-level-separable", "one-level"),
    seeds=(0, 1, 2),
    settings={
        **{"size": 160, "epochs": 3, "batch": 16, "lr": 2e-3, "offset_lr": 2e-3, "offset_mean": 0.0, "bfloat16": True}
    },
    own={"one-level": {"offset_lr": 3e-4}},
    start=SCRATCH,
    causes=("one-level-separable", "one-level"),
    one_seed=(CONTROL, "one-level"),
    chosen="the settings were set beforehand, but for the rate of the dense offset net: with that of the separable "
    "one, 2e-3, its taps lay 3.7 cells away in the mean, and it ended at 43.1 AP, below its twin. What the network is, "
    "was chosen on 300 other scenes (seed 1), by a prototype of 1,500 steps: with the stock head of 3x3 convolutions "
    "and two blocks, the training losses of D-LKA and of its rigid twin were alike after 1,200 steps (1.91 and 1.90); "
    "with one block and a head of 1x1 convolutions D-LKA had 59.9 AP there and the twin 52.8. That is what is measured "
    "here: a network in which the block alone looks around. Nothing else was changed after the first measurement on "
    "these pictures. Three seeds of control and of the dense model were planned, and cut for lack of time.",
)
# As small sets are trained in articles: from nothing, by Ultralytics' trainer as it is.
NEU_DET = Experiment(
    "neu-det",
    models=(CONTROL, "neck-rigid", "neck", "neck-separable", "residual-separable", "control-longer"),
    seeds=(0, 1, 2),
    settings={"size": 224, "epochs": 60},
    by_default=True,
    one_seed=("control-longer",),
    causes=("neck", "neck-separable", "residual-separable"),
    chosen="nothing: size and epochs were set beforehand, all else is as Ultralytics has it. Which seeds and models "
    "are stored is a question of time; control and the neck with separable offsets were trained first.",
)
# The same on thin traces and small gaps, of half the size at which they were published.
DEEP_PCB = Experiment(
    "deep-pcb",
    models=NEU_DET.models[:-1],
    seeds=(0,),
    settings={"size": 320, "epochs": 60},
    by_default=True,
    causes=NEU_DET.causes,
    chosen="nothing: size and epochs were set beforehand, all else is as Ultralytics has it.",
)
# The nets of SCENES on photographs, for which small ones of a drone are the nearest.
ONE_LEVEL_PHOTOGRAPHS = Experiment(
    "hit-uav",
    models=(CONTROL, "one-level-rigid", "one-level-features", "one-level-separable"),
    seeds=(0, 1, 2),
    settings={
        **{"size": 640, "crop": 320, "epochs": 12, "batch": 16, "bfloat16": True},
        **{"lr": 2e-3, "offset_lr": 2e-3, "offset_mean": 0.0},
    },
    start=SCRATCH,
    causes=("one-level-separable",),
    one_seed=(CONTROL, "one-level-features"),
    chosen="the settings are those of scenes but for the size of pictures and the number of epochs, and were set "
    "beforehand.",
    title="hit-uav-one-level",
)
PLAN: tuple[Experiment, ...] = (
    SCENES,
    ONE_LEVEL_PHOTOGRAPHS,
    NEU_DET,
    DEEP_PCB,
    Experiment(
        "hit-uav",
        models=(CONTROL, *EVERY),
        seeds=(0, 1, 2),
        settings={**CROPS, "epochs": 2, "batch": 8, "lr": 3e-3, "copied_lr": 2e-4, "offset_lr": 1e-3},
        start={**CROPS, "epochs": 16, "batch": 16, "frozen": 0, "copied_lr": 1e-3},
        one_seed=[word for word in EVERY if "neck" in word or "separable" in word],
        causes=("residual", "neck"),
        chosen="common start, schedule and learning rates were settled while seed 0 of control, residual and head was "
        "looked at on these very pictures, and that gates start around one by the loss in training; of what was tried "
        "(blocks from the stock weights on, the whole network at a high learning rate, five times the rate for new "
        "layers, gates that start near zero) nothing set a D-LKA model apart from control but the noise of the rarest "
        "class. Seeds 1 and 2 had no part in it. Three seeds were planned for every model, and a twin of neck-head; "
        "what has one was cut for lack of time, and as the common start was not kept.",
    ),
    # The second recipe. Larger squares: of what a regular 7x7 kernel with dilation 3 reads, 24 % lies beyond the border
    # at P3 and 76 % at P5 in a square of 320 px, 18 and 60 % in one of 448, 14 and 50 % in a whole picture. A separable
    # net's last convolution sums over 25 to 49 times fewer inputs: the same rate moves taps less.
    Experiment(
        "hit-uav",
        models=(*TWINS, "head", "neck", "neck-fitted", "neck-fitted-rigid", "neck-head"),
        seeds=(0, 1, 2),
        settings={**WIDE, "lr": 2e-3, "copied_lr": 2e-4, "offset_lr": 2e-3},
        own={
            "residual-separable": {"offset_lr": 1e-2},
            **{word: {"fit_epochs": 1, "epochs": 2, "lr": 5e-4} for word in ("neck-fitted", "neck-fitted-rigid")},
        },
        start="hit-uav/control-s0",
        one_seed=("neck-fitted-rigid",),
        causes=("residual", "head", "neck-fitted"),
        chosen="that there is a second recipe follows from what the first one gave on these pictures. It was set after "
        "hit-uav-long had been measured there: the backbone stays as it is because of that, and offsets learn twice as "
        "fast, those of the separable net ten times, because they had moved little; nothing was changed after its own "
        "first measurement. A twin of head was planned and cut for lack of time. That there is a neck-fitted, whose "
        "blocks are first fitted to those that they replace, follows from what neck scored there; its settings were "
        "set beforehand (one pass of fitting and two epochs, as many passes in all as the others get), and two more "
        "seeds of its twin were cut for lack of time.",
        title="hit-uav-wide",
    ),
    # The same with a backbone that learns, too.
    Experiment(
        "hit-uav",
        models=(CONTROL, "residual"),
        seeds=(0, 1),
        settings={**WIDE, "frozen": 0, "lr": 2e-3, "copied_lr": 5e-4, "offset_lr": 1e-3},
        start="hit-uav/control-s0",
        causes=("residual",),
        chosen="its settings were set beforehand. It was planned as the second recipe, with three seeds of eight "
        "models, and given up after its first measurements on these pictures, in which the rarest class was all but "
        "lost: what is here are the runs that were finished or nearly so.",
        title="hit-uav-long",
    ),
    Experiment(
        "coco-mini",
        models=(CONTROL, "neck", "neck-fitted", "residual", "residual-separable", "head", "head-rigid"),
        seeds=(0, 1),
        settings={
            **{"size": 640, "crop": 384, "epochs": 2, "batch": 8, "bfloat16": True},
            **{"teacher": STOCK, "unlabelled": "natural-pool"},
        },
        # What the replaced convolutions knew has to be learned anew, from labels and the teacher's last maps, or from
        # what each of them gave.
        own={
            "neck": {"epochs": 14, "batch": 16, "lr": 1.5e-3},
            "neck-fitted": {"fit_epochs": 5, "epochs": 3, "lr": 5e-4},
            "residual-separable": {"offset_lr": 5e-3},
        },
        one_seed=("neck", "neck-fitted", "residual", "residual-separable"),
        causes=("neck", "neck-fitted", "residual", "head"),
        stock=True,
        chosen="that the neck trains longer than the others follows from an earlier neck, trained for two epochs, that "
        "was measured on these pictures and stood far below stock; that the separable offsets learn faster, from an "
        "earlier separable model (41.1 AP), whose offsets hardly moved on them; that the blocks of neck-fitted are "
        "first fitted to those that they replace, from what neck scored on them; how fast it does, from the fit's own "
        "error on training pictures, how long, from the time there was; the rest was set beforehand. That the page "
        "looks at photographs by the head model first was decided after these figures, for its offsets. Two seeds were "
        "planned for every model; what has one was cut for lack of time.",
    ),
    Experiment("bccd", TWINS, (0,), {**TRANSFER, "size": 416, "crop": 320, "epochs": 6}),
    Experiment("tiny-people", TWINS, (0,), {**TRANSFER, "size": 640, "crop": 320, "epochs": 10}),
    Experiment(
        "aerial-cars",
        models=TWINS,
        seeds=(0, 1, 2),
        settings={**TRANSFER, "size": 1024, "crop": 320, "epochs": 20},
        one_seed=("residual-separable",),
        chosen="that there are three seeds follows from the first, in which residual stood above control in AP_S on "
        "these very pictures; the settings were not changed.",
    ),
)

# What comes after "scenes" in the id of a weights file -> its model.
SCENES_SHIPPED = {"": "one-level-separable", "-rigid": "one-level-rigid", "-control": CONTROL}
# Id of a weights file that ships -> the run that it comes from. Seed 0 always, so that no seed is picked by its score.
SHIPPED: Mapping[str, str] = {
    CONTROL: "coco-mini/control-s0",
    "neck": "coco-mini/neck-fitted-s0",
    "residual": "coco-mini/residual-s0",
    "head": "coco-mini/head-s0",
    **{f"scenes{word}": f"scenes/{model}-s0" for word, model in SCENES_SHIPPED.items()},
    **{f"hit-uav-{model}": f"hit-uav/{model}-s0" for model in (CONTROL, "head")},
    "neu-det-neck": "neu-det/neck-separable-s0",
    "neu-det-control": "neu-det/control-s0",
}
# Run -> what its files do not tell, a sentence for its model card.
NOTES: Mapping[str, str] = {
    "coco-mini/neck-s0": (
        "It was trained before the gates of new blocks started around one; its own began near zero, so that a rerun "
        "does not begin as it did."
    ),
    "coco-mini/neck-fitted-s0": (
        "It took the place of earlier weights of this name, coco-mini/neck-s0 in the report, which began without a fit."
    ),
}


def steps(plan: Iterable[Experiment]) -> list[Step]:
    """All runs in the order in which they can be made: starts before what starts from them, seed by seed."""
    found = []
    for part in plan:
        begin = STOCK
        if part.stock:
            found.append(Step(part.name, part.data, STOCK, 0, None))
        if isinstance(part.start, str):
            begin = part.start
        elif part.start is not None:
            found.append(Step(part.name, part.data, START, 0, Recipe(CONTROL, part.data, STOCK, seed=0, **part.start)))
            begin = found[-1].id
        for seed in part.seeds:
            for model in part.models:
                if model in part.one_seed and seed != part.seeds[0]:
                    continue
                placement, offsets = split(model)
                settings = {**part.settings, **part.own.get(model, {})}
                recipe = (
                    DefaultTraining(placement, part.data, offsets, seed=seed, **settings)
                    if part.by_default
                    else Recipe(placement, part.data, begin, offsets=offsets, seed=seed, **settings)
                )
                causes = model in part.causes and seed == part.seeds[0]
                found.append(Step(part.name, part.data, model, seed, recipe, causes))
    return found


def split(model: str) -> tuple[str, str]:
    """Placement and offsets of a model word: "neck-fitted-rigid" -> ("neck", "none"). Stock and starts are controls."""
    placement = family(model).removesuffix(FITTED).removesuffix(LONGER)
    offsets = VARIANTS[model.removeprefix(family(model))]
    return (CONTROL if placement in (STOCK, START) else placement), offsets


def family(model: str) -> str:
    """What a model shares with its variants of offsets: "neck-fitted-rigid" -> "neck-fitted"."""
    return model.removesuffix(next((ending for ending in VARIANTS if ending and model.endswith(ending)), ""))


def rigid_twin(model: str) -> str | None:
    """The word of the same model without offsets, or None where the model deforms nothing itself."""
    placement, offsets = split(model)
    return None if placement in PLAIN or offsets in RIGID else f"{family(model)}-rigid"


def choose(all_steps: Sequence[Step], pattern: str | None) -> list[Step]:
    """The steps whose id fits a shell pattern such as "hit-uav/residual*". Raises DlkaError where none does."""
    chosen = [step for step in all_steps if pattern is None or fnmatchcase(step.id, pattern)]
    if not chosen:
        known = ", ".join(step.id for step in all_steps[:6])
        raise DlkaError(f"--only {pattern!s:.60}: expected a pattern that fits some of {known}, ...")
    return chosen
