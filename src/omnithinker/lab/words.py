"""Word tables of the lab."""

from __future__ import annotations

NAMES = ("tom", "anna", "ben", "eva", "max", "lily", "sam", "nora", "leo", "mia", "paul", "rosa")
OBJECTS = (
    "pens", "cups", "books", "coins", "apples", "eggs", "cards", "balls", "nuts", "cakes", "shells", "stones",
)  # fmt: skip

CATEGORIES = {
    "fruit": ("apple", "pear", "plum", "lemon", "cherry", "banana", "lime", "fig"),
    "animal": ("dog", "cat", "horse", "pig", "cow", "goat", "fox", "mouse"),
    "bird": ("crow", "swan", "duck", "hen", "owl", "eagle", "dove", "robin"),
    "tool": ("hammer", "saw", "axe", "drill", "rake", "spade", "file", "nail"),
    "drink": ("tea", "milk", "water", "juice", "coffee", "wine", "beer", "cocoa"),
    "vehicle": ("car", "bus", "train", "boat", "bike", "truck", "ship", "plane"),
    "garment": ("shirt", "hat", "coat", "shoe", "sock", "scarf", "glove", "dress"),
    "metal": ("iron", "gold", "silver", "tin", "copper", "lead", "zinc", "steel"),
}
"""Category -> its members."""

COLOURED: dict[str, dict[str, str]] = {
    "fruit": {"cherry": "red", "banana": "yellow", "lemon": "yellow", "lime": "green", "plum": "blue"},
    "animal": {"fox": "red", "frog": "green", "lamb": "white", "bat": "black", "whale": "blue"},
    "bird": {"robin": "red", "crow": "black", "swan": "white", "dove": "white", "chick": "yellow"},
    "thing": {
        "brick": "red",
        "coal": "black",
        "snow": "white",
        "leaf": "green",
        "sky": "blue",
        "gold": "yellow",
    },
}
"""Category -> member -> colour."""

OPPOSITES = (
    ("hot", "cold", "warm"),
    ("big", "small", "large"),
    ("fast", "slow", "quick"),
    ("old", "new", "aged"),
    ("dark", "light", "black"),
    ("dry", "wet", "dusty"),
    ("hard", "soft", "firm"),
    ("rich", "poor", "wealthy"),
    ("loud", "quiet", "noisy"),
    ("happy", "sad", "glad"),
    ("full", "empty", "filled"),
    ("early", "late", "soon"),
    ("near", "far", "close"),
    ("open", "shut", "wide"),
    ("clean", "dirty", "neat"),
    ("strong", "weak", "mighty"),
)
"""Words, each with an antonym and a synonym."""

CAPITALS = (
    ("france", "paris", "lyon"),
    ("italy", "rome", "milan"),
    ("spain", "madrid", "seville"),
    ("japan", "tokyo", "osaka"),
    ("india", "delhi", "mumbai"),
    ("canada", "ottawa", "toronto"),
    ("turkey", "ankara", "istanbul"),
    ("germany", "berlin", "munich"),
    ("egypt", "cairo", "giza"),
    ("poland", "warsaw", "krakow"),
    ("china", "beijing", "shanghai"),
    ("portugal", "lisbon", "porto"),
)
"""Countries, each with its capital and another well-known city."""

SEQUENCES = (
    ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    (
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
        "november", "december",
    ),
    ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
)  # fmt: skip
"""Ordered sequences of words."""

YOUNG = {
    "dog": "puppy", "cat": "kitten", "cow": "calf", "sheep": "lamb", "horse": "foal", "hen": "chick",
    "goat": "kid", "pig": "piglet", "bear": "cub", "frog": "tadpole", "swan": "cygnet", "deer": "fawn",
}  # fmt: skip
"""Animal -> name of its young."""

WORKERS = {
    "bread": "baker", "cows": "farmer", "nets": "fisher", "songs": "singer", "ships": "sailor",
    "walls": "mason", "lessons": "teacher", "shoes": "cobbler", "flowers": "gardener", "meat": "butcher",
    "coats": "tailor", "pictures": "painter",
}  # fmt: skip
"""Object of work -> occupation."""

TOPICS = {
    "sea": (("boat", "wave", "fish", "shell", "sailor", "whale"), ("on the beach", "in the water", "by the rocks")),
    "farm": (("cow", "horse", "barn", "farmer", "hen", "field"), ("in the mud", "by the fence", "on the hay")),
    "forest": (("tree", "owl", "fox", "path", "leaf", "deer"), ("in the shade", "on the moss", "by the roots")),
    "city": (("car", "street", "tower", "train", "shop", "bridge"), ("at the corner", "in the crowd", "on the road")),
    "school": (("book", "teacher", "bell", "desk", "pupil", "lesson"), ("in the hall", "on the board", "at the door")),
    "kitchen": (("cook", "pot", "bread", "soup", "oven", "cake"), ("on the table", "in the pan", "by the stove")),
    "winter": (("snow", "ice", "frost", "coat", "storm", "sled"), ("on the hill", "in the cold", "at the lake")),
    "night": (("moon", "star", "lamp", "dream", "bat", "cloud"), ("in the dark", "on the roof", "at the window")),
    "garden": (("rose", "bee", "flower", "worm", "gate", "seed"), ("in the grass", "on the wall", "by the pond")),
    "market": (("apple", "coin", "basket", "trader", "scale", "cheese"), ("at the stall", "in the sun", "by the cart")),
}  # fmt: skip
"""Topic -> its nouns and places."""

ADJECTIVES = ("old", "small", "soft", "red", "wild", "quiet", "bright", "strange", "golden", "lonely")
VERBS = ("waits", "sings", "sleeps", "shines", "moves", "rests", "turns", "plays", "dances", "grows")
OPENINGS = ("today", "here", "now", "once", "sometimes", "again", "later", "there")
"""Required first words."""
CLOSINGS = ("rain", "light", "home", "song", "wind", "summer", "joy", "rest")
"""Required last words."""
