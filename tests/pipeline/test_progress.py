"""The bar follows what nnU-Net's commands print."""

from nnunetv2_mscs.pipeline.progress import command_bar


def test_epochs_of_a_training():
    with command_bar("train", epochs=20) as bar:
        bar.line("2026-11-23 16:30:26.1: Epoch 3 ")
        bar.line("2026-11-23 16:30:26.1: Pseudo dice [np.float32(0.6521)] ")
        assert bar.bar.n == 3
        assert "0.65" in bar.bar.postfix
        bar.line("2026-11-23 16:30:26.1: Training done.")
        assert bar.bar.n == 20


def test_counts_of_other_commands():
    with command_bar("preprocess") as bar:
        bar.line(" 25%|##        | 10/40 [00:01<00:03,  9.9it/s]")
        assert (bar.bar.n, bar.bar.total) == (10, 40)
        bar.line("folder a/b 1/2")
        assert (bar.bar.n, bar.bar.total) == (10, 40)
