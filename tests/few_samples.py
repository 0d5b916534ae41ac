"""nnU-Net's fingerprint of a data set in a second: it draws 100 million intensities, whatever the size of the data."""

from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor


class FewSamples(DatasetFingerprintExtractor):
    """Of a million intensities."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.num_foreground_voxels_for_intensitystats = 1e6
