"""Conversations of a channel, composed at random: what the demo's adapter was trained on.

    python tests/demo/chats.py OUT.jsonl [--count 8000] [--seed 1]

The words are those of words.toml, the lines those that Relay's commands write. Nobody said
them, no model wrote them.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from relay_gguf.conversation import messages as rules
from relay_gguf.conversation.messages import NICKS, Message
from relay_gguf.dataset.jsonl import chat_form
from relay_gguf.toml import read_toml

WORDS: Final = read_toml(Path(__file__).with_name("words.toml"))
N_PARTS: Final = 8
"""Exchanges of a conversation, at most."""

Entry = object
"""A line of a data set: `messages` of `role` and `content`."""
Rng = random.Random
Lines = Iterator[Message]
Person = Mapping[str, str]
"""What there is to know of somebody, by the names of words.toml: `city`, `job`, `age` and so on."""


def person(rng: Rng) -> Person:
    """Somebody."""

    def pick(name: str) -> str:
        return str(rng.choice(list(WORDS[name])))

    city, job, hobby = pick("cities"), pick("jobs"), pick("hobbies")
    animal, pet, name, country = (
        pick("animals"),
        pick("pet_names"),
        pick("names"),
        pick("countries"),
    )
    best, food = WORDS["cities"][city]
    return {
        "city": city,
        "city_low": city.lower(),
        "best": best,
        "food": food,
        "job": job,
        "a_job": f"{'an' if job[0] in 'aeiou' else 'a'} {job}",
        "work": WORDS["jobs"][job],
        "hobby": hobby,
        "lately": WORDS["hobbies"][hobby],
        "animal": animal,
        "does": rng.choice(WORDS["animals"][animal]),
        "pet": pet,
        "pet_low": pet.lower(),
        "music": pick("music"),
        "age": str(rng.randint(19, 78)),
        "name": name,
        "name_low": name.lower(),
        "country": country,
        "country_low": country.lower(),
        "thing": pick("things"),
        "number": str(rng.randint(2, 99)),
    }


def anon(rng: Rng, choices: Sequence[str], who: Person | None = None) -> Message:
    """One of the lines, said by the human; `who` fills it in."""
    return Message(NICKS["input"], rng.choice(choices).format_map(who or {}))


def user(rng: Rng, choices: Sequence[str], who: Person | None = None) -> Message:
    """One of the lines, said by the model."""
    return Message(NICKS["model"], rng.choice(choices).format_map(who or {}))


def bio(rng: Rng, who: Person) -> tuple[str, Sequence[str]]:
    """What somebody's bio says, and which facts it tells."""
    told = rng.sample(sorted(WORDS["bios"]), rng.choice([1, 1, 2, 2, 2, 3, 3, 4]))
    facts = [[fact.format_map(who) for fact in WORDS["bios"][name]] for name in told]
    way = rng.choice([", ", ". ", " and "])
    if way == " and ":  # joins sentences only
        facts = [[fact for fact in ways if fact.startswith(("I", "my "))] for ways in facts]
    said = [rng.choice(ways) for ways in facts]
    first = [part[0].upper() + part[1:] for part in said]
    text = way.join(first if way == ". " else [first[0], *said[1:]])
    return text + rng.choice(["", "."]), told


def exchange(rng: Rng, asks: str, says: str) -> Lines:
    """A line of the human's, and one of the model's, from two lists."""
    yield anon(rng, WORDS[asks])
    yield user(rng, WORDS[says])


def matched(rng: Rng, table: Mapping[str, Sequence[str]], who: Person | None = None) -> Lines:
    """A line of the human's, and what is said to that."""
    said = rng.choice(list(table))
    yield anon(rng, [said], who)
    yield user(rng, table[said], who)


def wellbeing(rng: Rng) -> Lines:
    """How somebody is."""
    yield from exchange(rng, "how", "well")
    if rng.random() < 0.3:
        yield from exchange(rng, "also_well", "glad")


def slapping(rng: Rng) -> Lines:
    """A trout."""
    yield from rules.slap(NICKS, "input")
    yield user(rng, WORDS["slapped"])
    if rng.random() < 0.35:
        yield from exchange(rng, "sorry", "forgiven")


def command(rng: Rng) -> Lines:
    """Something that no table of commands has."""
    kind = rng.random()
    if kind < 0.55:
        verb = rng.choice(list(WORDS["actions"]))
        action = WORDS["actions"][verb]
        yield from rules.wildcard(NICKS, "input", f"/{verb}", rng.choice(action["to"]))
        yield user(rng, WORDS["acted"], {"verb": verb, "ing": action["ing"]})
        return
    table = WORDS["deeds" if kind < 0.8 else "me"]
    done = rng.choice(list(table))
    name, _, rest = (done if kind < 0.8 else f"me {done}").partition(" ")
    yield from rules.wildcard(NICKS, "input", f"/{name}", rest)
    yield user(rng, table[done])


def topic(rng: Rng, channel: str) -> Lines:
    """A topic, and what is thought of it."""
    thing, other = rng.sample(WORDS["things"], 2)
    kind = rng.random()
    if kind < 0.25:
        text = rng.choice(list(WORDS["topics"]))
        opinions = WORDS["topics"][text]
    elif kind < 0.5:
        text = f"{thing} {rng.choice(['vs', 'or', 'versus', 'and'])} {other}"
        opinions = WORDS["versus"]
        thing, other = rng.choice([(thing, other), (other, thing)])
    else:
        text = rng.choice(WORDS["patterns"]).format(thing=thing)
        opinions = WORDS["opinions"]
    yield from rules.topic(NICKS, "input" if rng.random() < 0.9 else "model", channel, text)
    if rng.random() < 0.2:
        yield from exchange(rng, "greetings", "greeted")
    if rng.random() < 0.15:
        yield anon(rng, WORDS["what_topic"])
        yield user(rng, WORDS["topic_is"], {"topic": text, "topic_low": text.lower()})
    yield anon(rng, WORDS["topic_asked"])
    yield user(rng, opinions, {"thing": thing, "other": other})


def memory(rng: Rng) -> Sequence[Sequence[Message]]:
    """Something that the human tells, and asks for later."""
    who = person(rng)
    kind = rng.choice(WORDS["memories"])
    return (
        (anon(rng, kind["tells"], who), user(rng, kind["heard"], who)),
        (anon(rng, kind["asks"], who), user(rng, kind["knows"], who)),
    )


def pairs(rng: Rng) -> Lines:
    """Rudeness, chores, doubts, small talk."""
    kind = rng.random()
    if kind < 0.15:
        yield from exchange(rng, "rude", "unruffled")
    elif kind < 0.3:
        yield from exchange(rng, "chores", "not_now")
    elif kind < 0.42:
        yield from exchange(rng, "bot", "no_bot")
    else:
        yield from matched(rng, WORDS["talk"])


def asked(rng: Rng, fact: str, who: Person, *, told: bool) -> Lines:
    """A question about the model, and what follows when it asks back, unless that was told."""
    about = WORDS["about"][fact]
    yield anon(rng, about["asks"])
    answer = user(rng, about["says"], who)
    yield answer
    if answer.content.endswith("you?") and not told:
        other = person(rng)
        yield anon(rng, about["tells"], other)
        yield user(rng, about["echoes"], other)


def conversation(rng: Rng) -> list[Message]:
    """A channel: a join, maybe a bio, then a few exchanges."""
    who = person(rng)
    in_city = rng.random() < 0.3
    channels = [*WORDS["channels"], *WORDS["rooms"]]
    channel = who["city_low"].replace(" ", "") if in_city else rng.choice(channels)
    said = [*rules.join(NICKS, rng.choice(["model", "input"]), channel)]
    told: Sequence[str] = ()
    if rng.random() < 0.45:
        text, told = bio(rng, who)
        said += rules.cast(NICKS, "input", text)
    for part in [*exchanges(rng, who, told, channel, in_city=in_city)][:N_PARTS]:
        said += part
    if rng.random() < 0.15:
        said += exchange(rng, "byes", "goodbyes")
    return said


def exchanges(
    rng: Rng, who: Person, told: Sequence[str], channel: str, *, in_city: bool
) -> Sequence[Sequence[Message]]:
    """What is talked about, in what order."""
    parts: list[Lines] = []
    remembers = rng.random() < 0.3
    if rng.random() < 0.8:
        parts += [asked(rng, fact, who, told=remembers) for fact in told]
    if channel in WORDS["rooms"] and rng.random() < 0.7:
        parts.append(matched(rng, WORDS["rooms"][channel]))
    if in_city:
        parts.append(matched(rng, WORDS["there"], who))
        if rng.random() < 0.5 and "city" not in told:
            parts.append(asked(rng, "city", who, told=remembers))
    for make, share in ((command, 0.4), (slapping, 0.25), (pairs, 0.5), (pairs, 0.25)):
        if rng.random() < share:
            parts.append(make(rng))
    if rng.random() < 0.4:
        parts.append(topic(rng, channel))
    others = [fact for fact in WORDS["about"] if fact not in told]
    parts += [asked(rng, fact, who, told=remembers) for fact in others if rng.random() < 0.08]
    rng.shuffle(parts)
    unlike = {lines[0].content: lines for part in parts if (lines := [*part])}
    found: list[Sequence[Message]] = [*unlike.values()]
    if remembers:
        first, later = memory(rng)
        at = rng.randint(0, len(found))
        found.insert(at, first)
        found.insert(rng.randint(at + 1, min(len(found), at + 4)), later)
    if rng.random() < 0.3:
        found.insert(0, [*wellbeing(rng)])
    if rng.random() < 0.6 or not found:
        found.insert(0, [*exchange(rng, "greetings", "greeted")])
    return found


def write_lines(path: Path, entries: Iterable[Entry]) -> None:
    """Write a data set as JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for entry in entries:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def main() -> None:
    """Write conversations as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = Rng(arguments.seed)
    chats = (conversation(rng) for _ in range(arguments.count))
    write_lines(arguments.out, (chat_form(tuple(chat)) for chat in chats))


if __name__ == "__main__":
    main()
