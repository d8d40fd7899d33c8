"""Options and presets that are refused."""

from __future__ import annotations

from spoiled_folders import Case, options

from relay_gguf.convert.quantize.ftypes import FTYPES


def preset(text: str) -> Case:
    return lambda scene: ["--preset", str(scene.write("mine.toml", text))]


OPTIONS: dict[str, tuple[Case, str]] = {
    # options
    "an unknown type": (options("--quant", "Q4_K_XXL"), f"The types are: {', '.join(FTYPES)}"),
    "a type twice": (options("--quant", "Q8_0", "--quant", "q8_0"), "asked for twice"),
    "an unknown merge base": (
        options("--merge-base", "nf8"),
        "--merge-base is 'nf8'; it may be auto, original, nf4, nf4-double",
    ),
    "a merge base without an adapter": (options("--merge-base", "nf4"), "give --adapter"),
    "one name for two": (
        options("--quant", "F16", "--quant", "Q8_0", "--name", "m.gguf"),
        "'m.gguf' has no {type}",
    ),
    "a name with a folder": (options("--name", "../m.gguf"), "is not a file name"),
    "a name of two lines": (options("--name", "a\nb.gguf"), "is not a file name"),
    "a name without end": (options("--name", "x" * 300 + ".gguf"), "it may have 200 bytes"),
    "a name of a part": (
        options("--name", "m-00001-of-00002.gguf"),
        "is the name of a part of a split model",
    ),
    "a name of no GGUF file": (options("--name", "m.bin"), "is not a file name"),
    "a context longer than a file can say": (
        options("--context-length", str(2**32)),
        "context",
    ),
    **{
        f"parts of {size or 'nothing'}": (
            options(f"--split-max-size={size}"),
            f"--split-max-size is {size!r}; it should be like 4G or 500M",
        )
        for size in ("", "0", "0G", "4T", "4.5.G", "-4G", "much", "G")
    },
    # presets
    "an unknown preset": (options("--preset", "mine"), "There is no preset 'mine'. There are: all"),
    "a preset that is not there": (options("--preset", "./no.toml"), "Cannot read no.toml"),
    "a preset that is not TOML": (preset("types = ["), "mine.toml is not a TOML file"),
    "a preset without types": (preset("types = []"), "mine.toml: types = []: at least one"),
    "a preset of nothing": (preset(""), "mine.toml: types = None: at least one"),
    "a preset's unknown key": (
        preset('types = ["F16"]\nquants = 1'),
        "mine.toml: quants = 1: the keys are description, types",
    ),
    "a preset's unknown type": (
        preset('types = ["Q9_0"]'),
        "mine.toml: types = 'Q9_0': the types are F32, F16",
    ),
    "a preset's type that is a list": (preset('types = [["F16"]]'), "mine.toml: types = "),
    "a preset's type twice": (preset('types = ["F16", "F16"]'), "mine.toml: types = "),
    "a preset's types that are a text": (
        preset('types = "F16"'),
        "mine.toml: types = 'F16': it should be a list",
    ),
    "a preset's file": (
        preset('types = ["F16"]\nfile = "m.gguf"'),
        "mine.toml: file = 'm.gguf': it should be a name like model-{type}.gguf",
    ),
    "a preset's context": (
        preset('types = ["F16"]\ncontext_length = -1'),
        "mine.toml: context_length = -1",
    ),
    "a preset's context that is too long": (
        preset(f'types = ["F16"]\ncontext_length = {2**32}'),
        f"mine.toml: context_length = {2**32}",
    ),
    "a preset's switch": (
        preset('types = ["F16"]\ncontext_length = true'),
        "mine.toml: context_length = True: it should be a int",
    ),
    "a preset's unknown setting": (
        preset('types = ["F16"]\n[sampling]\ntemp = 1'),
        "mine.toml: sampling.temp = 1: the keys are temperature, top_k",
    ),
    "a preset's setting in words": (
        preset('types = ["F16"]\n[sampling]\ntemperature = "hot"'),
        "mine.toml: sampling.temperature = 'hot': it should be a number",
    ),
    "a preset's half token": (
        preset('types = ["F16"]\n[sampling]\ntop_k = 1.5'),
        "mine.toml: sampling.top_k = 1.5",
    ),
    "a preset's setting that is too large": (
        preset(f'types = ["F16"]\n[sampling]\ntop_k = {2**40}'),
        f"mine.toml: sampling.top_k = {2**40}",
    ),
    "a preset's unknown field": (
        preset('types = ["F16"]\n[card]\ntitle = "M"'),
        "mine.toml: card.title = 'M': the keys are name",
    ),
    "a preset's license": (
        preset('types = ["F16"]\n[card]\nlicense = 2'),
        "mine.toml: card.license = 2: it should be a text",
    ),
    "a preset's datasets": (
        preset('types = ["F16"]\n[card]\ndatasets = "a/b"'),
        "mine.toml: card.datasets = 'a/b': it should be a list of texts",
    ),
}
