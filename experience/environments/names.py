"""Names of environments of the RRD suite: what the original called them, what they are called today, of which kind.

Text only: nothing is made here, so that arguments can be parsed without Gymnasium.
"""

from __future__ import annotations

import re
from typing import Literal

Category = Literal["atari", "mujoco", "other"]

MUJOCO_NAMES = (
    "Ant",
    "HalfCheetah",
    "Walker2d",
    "Humanoid",
    "Reacher",
    "Swimmer",
    "Hopper",
    "HumanoidStandup",
)
# fmt: off
ATARI_NAMES = (
    "Adventure", "AirRaid", "Alien", "Amidar", "Assault", "Asterix", "Asteroids", "Atlantis",
    "BankHeist", "BattleZone", "BeamRider", "Berzerk", "Bowling", "Boxing", "Breakout", "Carnival",
    "Centipede", "ChopperCommand", "CrazyClimber", "Defender", "DemonAttack", "DoubleDunk",
    "ElevatorAction", "Enduro", "FishingDerby", "Freeway", "Frostbite", "Gopher", "Gravitar",
    "Hero", "IceHockey", "Jamesbond", "JourneyEscape", "Kangaroo", "Krull", "KungFuMaster",
    "MontezumaRevenge", "MsPacman", "NameThisGame", "Phoenix", "Pitfall", "Pong", "Pooyan",
    "PrivateEye", "Qbert", "Riverraid", "RoadRunner", "Robotank", "Seaquest", "Skiing", "Solaris",
    "SpaceInvaders", "StarGunner", "Tennis", "TimePilot", "Tutankham", "UpNDown", "Venture",
    "VideoPinball", "WizardOfWor", "YarsRevenge", "Zaxxon",
)
# fmt: on
"""The 62 games of the original."""
_TODAY = "v5"
_VERSION = re.compile(r"(.+)-v(\d+)")
_ATARI_ID = re.compile(r"ALE/(\w+)-v5")


def find_category(name: str) -> Category:
    """Return which defaults and which wrapper an environment gets; "other" for what the original did not know."""
    if name in ATARI_NAMES or _ATARI_ID.fullmatch(name):
        return "atari"
    match = _VERSION.fullmatch(name)
    return "mujoco" if match and match[1] in MUJOCO_NAMES else "other"


def find_gymnasium_id(name: str) -> str:
    """Return today's id of an environment of the original, any other name as it is.

    Gymnasium 1.x has no -v2 and -v3 of the MuJoCo tasks any more; -v5 has other observations (Ant: 105 numbers, not
    111). `Assault` was `AssaultDeterministic-v4`, today `ALE/Assault-v5` with its own frame skip of 4.
    """
    if name in ATARI_NAMES:
        return f"ALE/{name}-v5"
    match = _VERSION.fullmatch(name)
    if match and match[1] in MUJOCO_NAMES and match[2] in ("1", "2", "3"):
        return f"{match[1]}-{_TODAY}"
    return name


def format_mapping(name: str) -> str | None:
    """Return the sentence that says which environment stands for `name`; None if it is the same."""
    today = find_gymnasium_id(name)
    return (
        None if today == name else f"{name} is not in Gymnasium any more; {today} is used for it."
    )
