"""The words of the demo world: pure data.

No verb or object stands in two domains, and none of them in a filler or in chatter, so that a word
says what is meant: `tests/demo` holds this.
"""

DOMAINS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "kitchen": (
        ("chop", "boil", "fry", "whisk", "season", "bake", "peel", "drain"),
        ("onion", "potato", "chicken", "rice", "egg", "tomato", "carrot", "noodle"),
    ),
    "workshop": (
        ("saw", "drill", "sand", "glue", "measure", "clamp", "polish", "assemble"),
        ("plank", "shelf", "hinge", "drawer", "bracket", "frame", "panel", "dowel"),
    ),
    "garden": (
        ("plant", "water", "prune", "rake", "weed", "trim", "harvest", "fertilize"),
        ("tulip", "hedge", "lawn", "rose", "soil", "basil", "cabbage", "compost"),
    ),
    "garage": (
        ("unbolt", "tighten", "grease", "replace", "inflate", "rinse", "inspect", "align"),
        ("wheel", "brake", "chain", "battery", "filter", "engine", "bumper", "pedal"),
    ),
    "sewing": (
        ("stitch", "fold", "iron", "pin", "knit", "embroider", "hem", "dye"),
        ("sleeve", "collar", "pocket", "zipper", "scarf", "button", "ribbon", "blanket"),
    ),
    "studio": (
        ("sketch", "shade", "blend", "varnish", "scrape", "prime", "outline", "paint"),
        ("canvas", "palette", "portrait", "mural", "ceiling", "vase", "statue", "mosaic"),
    ),
}
"""Domain -> (verbs, objects); a step is one verb with one object of one domain."""

SAID: tuple[str, ...] = (
    "{verb} the {object}",
    "we {verb} our {object}",
    "you want to {verb} the {object}",
    "take the {object} and {verb} it",
    "i like to {verb} the {object}",
    "the {object} is what we {verb} here",
)
"""What a narrator says about a step."""

DESCRIBED: tuple[str, ...] = (
    "{verb} the {object}",
    "{verb} a {object}",
    "{verb} one {object} carefully",
)
"""How an annotator names a step; joined by `and then` after one of `SUBJECTS`."""

SUBJECTS: tuple[str, ...] = (
    "a person shows how to",
    "a man is about to",
    "a woman explains how to",
    "someone is going to",
    "a person starts to",
)

OPENERS: tuple[str, ...] = (
    "so now",
    "okay guys",
    "and then",
    "alright you know",
    "as you can see",
    "so basically",
    "and right here",
)
CLOSERS: tuple[str, ...] = (
    "like this",
    "for a few minutes",
    "just a little bit",
    "until it is ready",
    "nice and slowly",
)
"""Words that say nothing, before and after what a narrator says."""

CHATTER: tuple[str, ...] = (
    "welcome back to my channel",
    "do not forget to subscribe",
    "thanks so much for watching today",
    "leave me a comment down below",
    "the weather has been lovely this week",
    "my sister called me this morning",
    "i will put the link in the description",
    "we moved to this house last summer",
    "let me know what you think about it",
    "the dog is sleeping behind the camera",
    "this is my favourite time of the year",
    "sorry about the noise from the street",
)
"""Captions about nothing that is seen."""

RECALLED: tuple[str, ...] = (
    "last week i told you how to {verb} the {object}",
    "some other day we will {verb} a {object}",
    "my brother can {verb} any {object}",
)
"""Captions about a step that this video does not show."""
