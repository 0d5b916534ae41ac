"""The main job on embedded data: phantoms through nnU-Net's own commands, from nothing to a score and a picture."""
