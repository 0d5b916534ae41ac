"""Distribution `nnunetv2-mscs`: the package, its dataset converters and templates, and the shims that nnU-Net finds."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "nnunetv2_mscs/__init__.py").read_text()).group(1)

# The folder a package is read from, for each package that does not lie where its name says. Those in nnunetv2 lie
# inside nnU-Net's own package after installation, because nnU-Net looks for classes by name there and nowhere else.
PACKAGE_DIR = {
    "nnunetv2_mscs.dataset_conversion": "dataset_conversion",
    "nnunetv2_mscs.results_templates": "results_templates",
    "nnunetv2.training.nnUNetTrainer.mscs": "nnunetv2_mscs/nnunet_shims/trainer",
    "nnunetv2.experiment_planning.mscs": "nnunetv2_mscs/nnunet_shims/planner",
    "nnunetv2.preprocessing.normalization.mscs": "nnunetv2_mscs/nnunet_shims/normalization",
    "nnunetv2.imageio.mscs": "nnunetv2_mscs/nnunet_shims/reader",
}
setup(
    name="nnunetv2-mscs",
    version=VERSION,
    description="MSCS-Net for low-resolution stroke MRI as a plugin of stock nnU-Net v2",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=[*find_packages(include=["nnunetv2_mscs", "nnunetv2_mscs.*"]), *PACKAGE_DIR],
    package_dir=PACKAGE_DIR,
    package_data={
        "nnunetv2_mscs": ["py.typed"],
        "nnunetv2_mscs.models": ["shipped_weights/*/*.json", "shipped_weights/*/fold_all/*.pth"],
        "nnunetv2_mscs.results_templates": ["*", "*/*"],
    },
    install_requires=[
        "nnunetv2>=2.8,<3",
        "torch",
        "SimpleITK>=2.2",
        "nibabel",
        "numpy",
        "pandas",
        "scipy>=1.15",
        "tqdm",
        "matplotlib",
        "scikit-image",
        "jinja2",
        "pillow",
        "pyyaml",
        "argcomplete>=3",
    ],
    extras_require={
        "dicom": ["pydicom>=3", "highdicom>=0.24", "dcm2niix>=1.0.20240202"],
        "keras": ["h5py"],
        "onnx": ["onnx", "onnxscript"],
        "openvino": ["openvino>=2025.0"],
        "slurm": ["submitit>=1.5"],
        "test": [
            *("pytest>=8", "ruff", "mypy", "setuptools>=70", "wheel"),
            *("h5py", "onnx", "onnxruntime", "onnxscript", "openvino>=2025.0"),
            *("pydicom>=3", "highdicom>=0.24", "dcm2niix>=1.0.20240202"),
            # what reads the DICOM segmentations independently, and checks them against the standard
            *("dcmqi>=1.5", "dicom3tools"),
            # what the metrics are checked against
            *("connected-components-3d", "medpy>=0.5", "monai>=1.4", "surface-distance"),
            # jobs on the Slurm that tests start
            "submitit>=1.5",
            # drives the browser that reports are tried in
            "selenium>=4.10",
        ],
    },
    entry_points={"console_scripts": ["mscs=nnunetv2_mscs.cli.main:main"]},
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
)
