"""Short stories that hang together: a hero, a wish, a problem, a helper and a good end."""

from __future__ import annotations

from . import values
from .documents import Document, chat, raw, turns
from .draw import Draw

PLACES = ("in a small house near the forest", "in a little village", "on a farm", "by the sea", "in a big town", "at the edge of a wood",
          "in a cottage on a hill", "near a quiet river", "in an old castle", "under a tall oak tree", "in a warm cave",
          "next to a green meadow", "on a small island", "behind the old mill")  # fmt: skip
NATURES = (
    "kind",
    "brave",
    "curious",
    "shy",
    "clever",
    "lazy",
    "cheerful",
    "gentle",
    "hungry",
    "proud",
    "playful",
    "quiet",
    "lonely",
    "funny",
)
SIZES = ("little", "small", "young", "tiny", "big", "old", "gray", "white", "brown", "black")
WANTS = (
    ("find a friend", "a friend to play with", "found a friend"), ("see the sea", "the wide blue sea", "saw the sea"),
    ("learn to swim", "how to swim", "learned to swim"), ("climb the highest hill", "the top of the hill", "stood on top of the hill"),
    ("bake a cake", "a sweet cake", "baked a cake"), ("build a boat", "a boat of its own", "built a boat"),
    ("find the golden key", "the golden key", "found the golden key"), ("catch the moon", "the bright moon", "looked at the moon"),
    ("sing a song", "a beautiful song", "sang a song"), ("grow a garden", "a garden full of flowers", "grew a garden"),
    ("visit grandmother", "the way to grandmother", "visited grandmother"), ("learn to read", "how to read", "learned to read"),
    ("find some berries", "sweet red berries", "found the berries"), ("fly a kite", "a kite in the wind", "flew a kite"),
)  # fmt: skip
PROBLEMS = (
    ("it began to rain", "the rain"), ("a strong wind came", "the wind"), ("the path was lost in the fog", "the fog"),
    ("it grew dark", "the dark"), ("there was a deep river in the way", "the river"), ("a big stone blocked the path", "the stone"),
    ("the bridge was broken", "the broken bridge"), ("snow began to fall", "the snow"), ("there was a loud noise in the bushes", "the noise"),
    ("the gate was locked", "the locked gate"), ("a thorn got stuck in one foot", "the thorn"),
)  # fmt: skip
HELPS = {
    "the rain": "held a big leaf over {h}", "the wind": "found a safe place behind a wall", "the fog": "knew the way and went in front",
    "the dark": "lit a small lamp", "the river": "made a bridge from a log", "the stone": "pushed the stone away together with {h}",
    "the broken bridge": "mended the bridge with a rope", "the snow": "shared a warm scarf", "the noise": "laughed and showed that it was only the wind",
    "the locked gate": "had the key", "the thorn": "pulled the thorn out very gently",
}  # fmt: skip
MORALS = ("{h} learned that friends make everything easier.", "From that day on, {h} and {f} were best friends.",
          "And they lived happily ever after.", "{h} never forgot that day.", "That night {h} fell asleep with a smile.",
          "{h} learned that it is good to ask for help.", "Everybody in the place heard the story and was glad.",
          "And whenever it was needed, {h} helped others too.", "{h} learned that one should never give up.")  # fmt: skip
HUMANS = (
    "girl",
    "boy",
    "child",
    "princess",
    "prince",
    "farmer",
    "sailor",
    "wizard",
    "robot",
    "king",
    "queen",
    "dragon",
    "giant",
    "teacher",
)


def story(draw: Draw, kind: str = "", name: str = "") -> str:
    """Tell a story about a kind of hero."""
    kind = kind or (draw.any(HUMANS) if draw.chance(0.3) else draw.any(values.ANIMALS.train))
    name = name or draw.of(values.FIRST_NAMES)
    pronoun = draw.any(("he", "she"))
    own = {"he": "his", "she": "her"}[pronoun]
    other = draw.any([a for a in values.ANIMALS.train if a != kind])
    friend = draw.any([n for n in values.FIRST_NAMES.train if n != name])
    want, goal, done = draw.any(WANTS)
    goal = goal.replace("its own", f"{own} own")
    event, trouble = draw.any(PROBLEMS)
    nature, size = draw.any(NATURES), draw.any(SIZES)
    article = "an" if size[0] in "aeio" else "a"
    lines = [
        draw.any((f"Once upon a time, there was {article} {size} {kind} named {name}.", f"Once upon a time there lived {article} {size} {kind} called {name}.",
                  f"There was once {article} {size} {kind} whose name was {name}.", f"Long ago, {article} {size} {kind} named {name} lived {(where := draw.any(PLACES))}.")),
    ]  # fmt: skip
    if "Long ago" not in lines[0]:
        where = draw.any(PLACES)
        lines.append(
            draw.any(
                (
                    f"{name} lived {where}.",
                    f"{name} was very {nature} and lived {where}.",
                    f"The {kind} lived {where} and was very {nature}.",
                )
            )
        )
    lines.append(draw.any((f"{name} wanted to {want}.", f"More than anything, {name} wanted to {want}.", f"Every day {name} dreamed of {goal}.",
                           f"One wish was always in {own} heart: to {want}.")))  # fmt: skip
    lines.append(draw.any((f"One day, {name} set out early in the morning to {want}.", f"One sunny morning {name} said, \"Today I will {want}!\"",
                           f"So one day {pronoun} packed some bread and went out to {want}.")))  # fmt: skip
    lines.append(
        draw.any(
            (
                f"But on the way {event}.",
                f"But then {event}.",
                f"After a while {event}.",
                f"Suddenly {event}.",
            )
        )
    )
    lines.append(draw.any((f"{name} did not know what to do.", f"\"Oh no,\" said {name}, \"what shall I do now?\"", f"{name} sat down and was sad.",
                           f"{name} was afraid of {trouble}.")))  # fmt: skip
    lines.append(draw.any((f"Just then a {other} named {friend} came along.", f"Then {name} met a {other} called {friend}.",
                           f"A friendly {other} named {friend} heard {name} and came closer.")))  # fmt: skip
    lines.append(
        draw.any(
            (
                f'"Why are you so sad?" asked {friend}.',
                f'"Can I help you?" asked {friend}.',
                f'"Do not worry," said {friend}.',
                "",
            )
        )
    )
    lines.append(
        draw.any(
            (
                f"{friend} {HELPS[trouble]}.",
                f"{friend} thought for a moment. Then the {other} {HELPS[trouble]}.",
            )
        ).replace("{h}", name)
    )
    lines.append(
        draw.any(
            (
                f'"Thank you!" said {name}.',
                f"{name} was very happy and said thank you.",
                f'"You are a true friend," said {name}.',
            )
        )
    )
    lines.append(draw.any((f"Together they went on, and at last {name} {done}.", f"Soon {name} {done}, and {friend} was there too.",
                           f"In the end {name} {done}.")))  # fmt: skip
    lines.append(draw.any(MORALS).format(h=name, f=friend))
    kept = [line for line in lines if line and (draw.chance(0.93) or line is lines[0])]
    text = " ".join(kept)
    return (
        text
        if draw.chance(0.7)
        else text.replace(f" One day, {name}", f"\n\nOne day, {name}").replace(
            " One sunny", "\n\nOne sunny"
        )
    )


def tell(draw: Draw) -> Document:
    """Ask for a story, with or without a wish about the hero."""
    kind = draw.any(HUMANS) if draw.chance(0.3) else draw.any(values.ANIMALS.train)
    article = "an" if kind[0] in "aeio" else "a"
    name = draw.of(values.FIRST_NAMES)
    asked, about, called = draw.any((
        ("Tell me a story about {k}.", True, False), ("Tell me a short story about {k}.", True, False), ("Write a story about {k}.", True, False),
        ("Write a short story about {k}.", True, False), ("Please tell me a story about {k}.", True, False), ("Tell me a story.", False, False),
        ("Can you tell me a story about {k}?", True, False), ("I want to hear a story about {k}.", True, False),
        ("Tell me a story about {k} named {n}.", True, True), ("Write a story about {k} called {n}.", True, True),
        ("Tell me a bedtime story.", False, False), ("Write a short story.", False, False), ("Tell a story about {k} in a few sentences.", True, False),
        ("A story about {k}, please.", True, False),
    ))  # fmt: skip
    text = story(draw, kind if about else "", name if called else "")
    request = asked.format(k=f"{article} {kind}", n=name)
    if draw.chance(0.6):
        return chat(
            turns(
                request,
                text,
                system=draw.any(("", "", "You are a helpful assistant.", "You tell stories.")),
            )
        )
    if draw.chance(0.4):
        return raw(request + "\n", (text + "<|endoftext|>", True))
    return Document(((text + "<|endoftext|>", True),), is_text=True)
