"""Hands nnU-Net the planner of nnunetv2_mscs. Imported at every look-up of any planner: light, never raising."""


def __getattr__(name):
    if name != "MSCSPlanner":
        raise AttributeError(name)
    from nnunetv2_mscs.planning.planner import MSCSPlanner

    return MSCSPlanner
