"""Hands nnU-Net our planners. Every look-up of any planner imports this: light, never raising."""

from importlib import import_module

HOMES = {
    "MSCSPlanner": "nnunetv2_mscs.planning.planner",
    "MSCSPlannerZScore": "nnunetv2_mscs.planning.planner",
}


def __getattr__(name):
    if name not in HOMES:
        raise AttributeError(name)
    return getattr(import_module(HOMES[name]), name)
