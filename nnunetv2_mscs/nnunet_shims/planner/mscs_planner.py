"""Hands nnU-Net our planner. Every look-up of any planner imports this: light, never raising."""


def __getattr__(name):
    if name != "MSCSPlanner":
        raise AttributeError(name)
    from nnunetv2_mscs.planning.planner import MSCSPlanner

    return MSCSPlanner
