"""What the descriptions of the methods cite, numbered as it is cited."""

CITATIONS = {
    "nnU-Net": "Isensee F, Jaeger PF, Kohl SAA, Petersen J, Maier-Hein KH. nnU-Net: a self-configuring method for deep "
    "learning-based biomedical image segmentation. Nature Methods 18 (2021) 203-211.",
    "MSCS-Net": "Zaman et al. MSCS-Net: A deep learning framework for accurate segmentation of low-resolution stroke "
    "lesions. Measurement (2025) 118925.",
    "CC-DiceCE": "Bouteille, Jaus, Kleesiek, Stiefelhagen, Heine. Learning to look closer: a new instance-wise loss "
    "for small cerebral lesion segmentation. arXiv 2511.17146 (2025).",
    "voxels": "Taha AA, Hanbury A. Metrics for evaluating 3D medical image segmentation: analysis, selection, and "
    "tool. BMC Medical Imaging 15 (2015) 29.",
    "distances": "Maier-Hein L et al. Metrics reloaded: recommendations for image analysis validation. Nature Methods "
    "21 (2024) 195-212.",
    "NSD": "Nikolov S et al. Clinically applicable segmentation of head and neck anatomy for radiotherapy. Journal of "
    "Medical Internet Research 23 (2021) e26151.",
    "ISLES'22": "Hernandez Petzsche MR et al. ISLES 2022: a multi-center magnetic resonance imaging stroke lesion "
    "segmentation dataset. Scientific Data 9 (2022) 762.",
    "panoptic": "Kirillov A, He K, Girshick R, Rother C, Dollár P. Panoptic segmentation. CVPR (2019) 9404-9413.",
    "BCa": "Efron B. Better bootstrap confidence intervals. Journal of the American Statistical Association 82 (1987) "
    "171-185.",
    "Bland-Altman": "Bland JM, Altman DG. Statistical methods for assessing agreement between two methods of clinical "
    "measurement. Lancet 327 (1986) 307-310.",
    "Lin": "Lin LI. A concordance correlation coefficient to evaluate reproducibility. Biometrics 45 (1989) 255-268.",
    "Wilcoxon": "Wilcoxon F. Individual comparisons by ranking methods. Biometrics Bulletin 1 (1945) 80-83.",
    "Holm": "Holm S. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6 "
    "(1979) 65-70.",
}


class Cited:
    """Numbers for references, in the order in which they are first cited."""

    def __init__(self) -> None:
        self._keys: list[str] = []

    def __call__(self, key: str) -> str:
        """Such as `[1]`."""
        if key not in self._keys:
            self._keys.append(key)
        return f"[{self._keys.index(key) + 1}]"

    def as_list(self) -> list[str]:
        return [f"[{number}] {CITATIONS[key]}" for number, key in enumerate(self._keys, 1)]
