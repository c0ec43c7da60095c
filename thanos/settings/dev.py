"""`make run`: everything on this machine, on loopback."""

from thanos.settings.base import *  # noqa: F403
