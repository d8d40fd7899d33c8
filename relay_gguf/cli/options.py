"""Options that several commands share, each spelled out once, and the settings made of them.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from relay_gguf.settings import ChatSettings

ModelArgument = Annotated[
    str | None,
    typer.Argument(
        help="A GGUF file, OWNER/NAME[:TYPE] on the hub, or the name of a model in Ollama. "
        "[env: RELAY_MODEL] [the best for this machine]",
    ),
]
AsDemo = Annotated[bool, typer.Option("--demo", help="Take the small demo model.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")]

NCtx = Annotated[int | None, typer.Option(help="Context length in tokens. [4096]")]
Layers = Annotated[
    int | None,
    typer.Option("--n-gpu-layers", help="Layers on the GPU, -1 for all. [as many as fit]"),
]
KvType = Annotated[
    str | None,
    typer.Option(metavar="TYPE", help="Type of the KV cache: f16, q8_0 or q4_0. [f16]"),
]
MainGpu = Annotated[
    int | None, typer.Option(help="Use only this GPU, counted from 0. [all of them]")
]
TensorSplit = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Share of the layers for each GPU. [by free memory]"),
]
NoGpu = Annotated[
    bool | None, typer.Option("--no-gpu", help="Compute on this CPU alone: no GPUs, no workers.")
]
Workers = Annotated[
    list[str] | None,
    typer.Option(
        "--worker",
        metavar="HOST[:PORT]",
        help="Another machine that runs `relay-gguf worker`; repeatable.",
    ),
]
"""An option of each command that plans or loads a model."""
MinSpeed = Annotated[
    float | None,
    typer.Option(help="Tokens per second that an automatically chosen file must reach. [5]"),
]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads to compute with. [one for each physical core]")
]

Temperature = Annotated[
    float | None, typer.Option(help="0 always takes the likeliest token. [0.3]")
]
TopK = Annotated[int | None, typer.Option(help="Only the K likeliest tokens; 0 is all. [40]")]
TopP = Annotated[
    float | None, typer.Option(help="Likeliest tokens with this sum; 1 is all. [0.95]")
]
MinP = Annotated[
    float | None, typer.Option(help="Least share of the best token's; 0 is off. [0.05]")
]
RepeatPenalty = Annotated[
    float | None, typer.Option(help="Penalty on tokens that were used; 1 is off. [1.1]")
]
MaxTokens = Annotated[int | None, typer.Option(help="Tokens of a reply at most. [128]")]
ExactTrim = Annotated[
    bool | None,
    typer.Option("--exact-trim", help="After dropping old messages, read the rest anew."),
]
Seed = Annotated[int | None, typer.Option(help="Number that makes replies repeatable.")]
DryMultiplier = Annotated[
    float | None,
    typer.Option(help="DRY, a penalty on continuing a repetition: how strong. 0 is off. [0]"),
]
DryBase = Annotated[
    float | None, typer.Option(help="How much stronger with each repeated token. [1.75]")
]
DryAllowedLength = Annotated[
    int | None, typer.Option(help="Tokens that may be repeated without it. [2]")
]
DryLastN = Annotated[
    int | None, typer.Option(help="Tokens that DRY looks back; 0 is the whole context. [0]")
]
XtcProbability = Annotated[
    float | None,
    typer.Option(help="XTC: how often the likeliest tokens are left out. 0 is off. [0]"),
]
XtcThreshold = Annotated[
    float | None,
    typer.Option(help="What XTC leaves out: tokens so likely, but for one. [0.1]"),
]
LoopGuard = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Stop a reply in which a line or six words stand N times. 0 is off. [0]",
    ),
]

WithPeople = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="NICK:BIO",
        help='One more person of the model in the channel: "kate: a nurse from Cork". '
        "May be given for each one.",
    ),
]

CacheFile = Annotated[
    bool | None,
    typer.Option(
        "--cache-file/--no-cache-file",
        help="Leave what the model has read on the disk, to go on later without reading it again. "
        "[--cache-file]",
    ),
]

ReadsAhead = Annotated[
    bool | None,
    typer.Option(
        "--read-ahead/--no-read-ahead",
        help="Let the model read what you type before Enter; never with --seed, nor on battery. "
        "[--read-ahead]",
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the log, and errors with their traceback.")
]
"""An option of each command. They need not read it: the command line does, before they run."""


def check_one_model(
    context: typer.Context, model: str | None, *, demo: bool, bare: bool = False
) -> None:
    """Refuse options that name two models, of which one would be ignored.

    Raises:
        typer.BadParameter: MODEL beside --demo, or either beside --bare.
    """
    if demo and model is not None:
        raise typer.BadParameter("name a model or say --demo, not both.", context)
    if bare and (demo or model is not None):
        raise typer.BadParameter("--bare runs without a model: leave the model out.", context)


def given_settings(context: typer.Context, config: Path | None = None) -> ChatSettings:
    """The settings of a command: its own options over the environment and the config file.

    Every parameter of the command that has the name of a setting counts, but for `model`, whose
    meaning is the command's own.

    Args:
        context: of the running command.
        config: the config file that the user named; None for the one in its usual place.

    Raises:
        SettingsError: a value is wrong, or the file that was named is not there.
    """
    from relay_gguf.settings import KINDS, usual_settings

    parameters = {n: v for n, v in context.params.items() if n in KINDS and n != "model"}
    if not parameters.get("worker"):  # an empty tuple where the option was not given
        parameters["worker"] = None
    return usual_settings(parameters, config)
