"""Commands that make training pairs, train networks and ship their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fusion.cli.options import AsJson, Seed, amount, file_name
from fusion.cli.output import Row, print_rows, progress, say
from fusion.errors import FusionError


def train(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Train this method, or iat, which corrects exposures, or all in turn."),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            parser=file_name,
            metavar="DIR",
            help="Read the exposures SCENE/*_A.* and SCENE/*_B.* below this folder.",
        ),
    ],
    *,
    references: Annotated[
        Path | None,
        typer.Option(
            "--references",
            parser=file_name,
            metavar="DIR",
            help="For a method that is trained on references, read scenes with SCENE/*_GT.* below this folder. Its "
            "train_references.csv, if there is one, names folders of --data that show the same scenes.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            parser=file_name,
            metavar="RUN",
            help="Write checkpoints and the log to this folder; with all, to a folder in it for each method. "
            "The default is runs/NAME.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", parser=amount, metavar="N", help="Train each network for this many minutes."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, metavar="N", help="Train each network for this many steps."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue from the checkpoint of an earlier run, where there is one."),
    ] = False,
    save_every: Annotated[
        float,
        typer.Option(
            "--save-every", parser=amount, metavar="SECONDS", help="Save a checkpoint this often, in seconds."
        ),
    ] = 60,
    full_precision: Annotated[
        bool,
        typer.Option("--full-precision", help="Compute with float32 where bfloat16 would be used."),
    ] = False,
    shipped: Annotated[
        bool,
        typer.Option("--shipped", help="Start from the shipped weights instead of random ones."),
    ] = False,
    seed: Seed = 3407,
    loss: Annotated[
        Literal["structure", "paper"] | None,
        typer.Option("--loss", help="Minimise this loss instead of the one in the method's recipe."),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            "--crop",
            min=1,
            metavar="PIXELS",
            help="Train on square crops with sides of this length instead of the one in the recipe.",
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            min=1,
            metavar="N",
            help="Use this many pairs in each step instead of the number in the recipe.",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            parser=amount,
            metavar="RATE",
            help="Start from this learning rate instead of the one in the recipe.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Train a network on a folder of exposure pairs, and write its best weights and a log to a folder.

    Example: python -m fusion train pyramef --data pairs --minutes 60
    """
    from fusion.training.loop import LOSSES, trainable, trainee
    from fusion.training.loop import train as trained

    if minutes is None and steps is None:
        raise FusionError("Say how long to train: --minutes N or --steps N.")
    asked = {
        "loss": LOSSES[loss] if loss else None,
        "crop": crop,
        "batch": batch,
        "rate": rate,
        "half_precision": False if full_precision else None,
    }
    changes = {key: value for key, value in asked.items() if value is not None}
    runs = folder or Path("runs")
    folders = {one: runs / one for one in trainable()} if name == "all" else {name: folder or runs / name}
    subjects = {one: trainee(one, seed=seed, shipped=shipped, **changes) for one in folders}
    if references and not any(subject.recipe.references for subject in subjects.values()):
        raise FusionError(f"{name} is not trained on references; leave out --references.")
    rows: list[Row] = [
        trained(
            subjects[one],
            data,
            run,
            references=references,
            minutes=minutes,
            steps=steps,
            resume=resume,
            seconds_between_saves=save_every,
            seed=seed,
        )
        for one, run in folders.items()
    ]
    print_rows(rows, as_json=as_json)
    return 0


def ship(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Ship the network of this method, or iat.")],
    data: Annotated[
        str,
        typer.Option("--data", metavar="TEXT", help="Write what the network was trained on into the manifest."),
    ],
    recipe: Annotated[
        str,
        typer.Option("--recipe", metavar="TEXT", help="Write how the network was trained into the manifest."),
    ],
    *,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            parser=file_name,
            metavar="RUN",
            help="Take the best weights from this folder, which train has written. The default is runs/NAME.",
        ),
    ] = None,
) -> int:
    """Put the best network of a training run into the folder weights, and describe it in the manifest.

    Example: python -m fusion ship pyramef --data "360 pairs of SICE" --recipe "60 minutes on one GPU"
    """
    from fusion.training.loop import ship, trainee

    facts: dict[str, str | int | float] = {"recipe": recipe, "data": data, "licence": "Apache-2.0"}
    ship(trainee(name), run or Path("runs") / name, facts)
    return 0


def make_pairs(
    maps: Annotated[
        Path,
        typer.Argument(
            parser=file_name,
            metavar="HDR_DIR",
            help="Read HDR radiance maps (.hdr, .pic or .exr) from this folder.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            parser=file_name,
            metavar="DIR",
            help="Write the pairs and manifest.csv to this folder, which is new or empty.",
        ),
    ],
    *,
    count: Annotated[int, typer.Option("--count", metavar="N", help="Make this many pairs of each map.")] = 4,
    side: Annotated[
        int,
        typer.Option(
            "--side",
            metavar="PIXELS",
            help="Reduce the longest side to this many pixels; smaller maps are not enlarged.",
        ),
    ] = 768,
    gap: Annotated[
        tuple[float, float],
        typer.Option("--gap", metavar="MIN MAX", help="Put this many stops between the exposures, from MIN to MAX."),
    ] = (2, 8),
    response: Annotated[
        Literal["gamma", "srgb", "film", "log"] | None,
        typer.Option("--response", help="Use this response curve. By default, each pair gets a random one."),
    ] = None,
    noise: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--noise",
            metavar="WELL READ",
            help="Add the noise of a sensor with this full-well capacity and this read noise, in electrons; inf 0 adds "
            "none. By default, each pair gets random noise.",
        ),
    ] = None,
    jpeg: Annotated[
        tuple[int, int] | None,
        typer.Option(
            "--jpeg",
            metavar="MIN MAX",
            help="Compress the exposures as JPEG with a quality from MIN to MAX. The default is PNG without loss.",
        ),
    ] = None,
    shake: Annotated[
        float,
        typer.Option("--shake", metavar="PIXELS", help="Move the brighter exposure by up to this many pixels."),
    ] = 0,
    move: Annotated[
        bool,
        typer.Option("--move", help="Move one thing of the scene between the two exposures."),
    ] = False,
    recipe: Annotated[
        Literal["spd", "mertens"],
        typer.Option(
            "--recipe",
            help="Make the references with SPD-MEF (spd), which comes closest to what people chose, or with Mertens.",
        ),
    ] = "spd",
    seed: Seed = 3407,
    as_json: AsJson = False,
) -> int:
    """Make exposure pairs with references from HDR radiance maps, for training and measuring.

    Example: python -m fusion make-pairs maps -o pairs --count 2
    """
    from collections import Counter

    from fusion.training.camera import Noise
    from fusion.training.radiance import PairOptions, make_pairs

    wanted = PairOptions(
        count=count,
        side=side,
        gap=gap,
        response=response,
        noise=Noise(*noise) if noise else None,
        jpeg=jpeg,
        shake=shake,
        move=move,
        seed=seed,
        recipe=recipe,
    )
    with progress("make-pairs", 1) as moved:
        made, skipped = make_pairs(maps, out, wanted, lambda share: moved(completed=share))
    rows = [{"map": source, "pairs": pairs} for source, pairs in Counter(shot.source for shot in made).items()]
    print_rows(rows, as_json=as_json)
    for sentence in skipped:
        say(sentence)
    return 1 if skipped else 0
