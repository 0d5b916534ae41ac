"""nnU-Net's fingerprint without the wait: it draws 100 million intensities from the smallest of data sets."""

from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor


class FewSamples(DatasetFingerprintExtractor):
    """Of a million intensities."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.num_foreground_voxels_for_intensitystats = 1e6
