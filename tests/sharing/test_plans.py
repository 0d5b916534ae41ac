"""Plans and data sets: complete, and naming no code but networks of known or trusted packages."""

import json

import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.sharing.exporting import ExportRequest, export
from nnunetv2_mscs.sharing.installing import install
from nnunetv2_mscs.sharing.plans import check_plans
from tests.sharing.tiny_models import DATASET_JSON, MSCS, OF_MODEL, plans, with_json, with_plans


def naming(name: str, place: str = "network_class_name"):
    """An edit of plans, for a class of this name."""

    def edit(content: dict) -> None:
        architecture = content["configurations"]["2d"]["architecture"]
        (architecture if place == "network_class_name" else architecture["arch_kwargs"])[place] = name

    return edit


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("subprocess.call", "not known"),
        ("torch.hub.load", "not known"),
        ("torch.nn.functional.torch.hub.load", "not a network class"),
        ("nnunetv2_mscs.network.Nothing", "is not there"),
    ],
)
@pytest.mark.parametrize("place", ["network_class_name", "norm_op"])
def test_plans_that_name_other_code_are_refused(exported, tmp_path, refused, name, match, place):
    refused(with_plans(exported, tmp_path / "evil.zip", naming(name, place)), match)


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("resampling_fn_data", "load_pickle", "not found here"),
        ("resampling_fn_data", "deepcopy", "not one of nnU-Net's"),
        ("preprocessor_name", "join", "not one of nnU-Net's"),
        ("preprocessor_name", "Unheard", "not found here"),
        ("normalization_schemes", ["A", "ZScoreNormalization"], "not found here"),
        ("normalization_schemes", ["ZScoreNormalization", "abstractmethod"], "not one of nnU-Net's"),
    ],
)
def test_plans_whose_preprocessing_is_none_of_nnunets_are_refused(exported, tmp_path, refused, key, value, match):
    file = with_plans(exported, tmp_path / "evil.zip", lambda plans: plans["configurations"]["2d"].update({key: value}))
    refused(file, match)


def test_plans_with_our_normalizations_are_known(tmp_path):
    changed = plans()
    changed["configurations"]["2d"]["normalization_schemes"] = ["ADCNormalization", "DWINormalization"]
    (tmp_path / "plans.json").write_text(json.dumps(changed))
    (tmp_path / "dataset.json").write_text(json.dumps(DATASET_JSON))
    assert check_plans(tmp_path, "2d") == set()


MISSING = object()


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        *(("plans", key, MISSING) for key in ("transpose_forward", "transpose_backward", "image_reader_writer")),
        ("plans", "transpose_forward", [0, 1, 1]),
        ("plans", "foreground_intensity_properties_per_channel", {"0": {}}),
        *(
            ("configuration", key, MISSING)
            for key in ("spacing", "patch_size", "normalization_schemes", "use_mask_for_norm", "preprocessor_name")
        ),
        *(("configuration", f"resampling_fn_{kind}", MISSING) for kind in ("data", "seg", "probabilities")),
        *(("configuration", f"resampling_fn_{kind}_kwargs", []) for kind in ("data", "seg", "probabilities")),
        ("configuration", "normalization_schemes", ["ZScoreNormalization"]),
        ("configuration", "use_mask_for_norm", [False, "no"]),
        ("configuration", "patch_size", [16, 0]),
        ("configuration", "spacing", [1.0]),
        *(("dataset", key, MISSING) for key in ("labels", "channel_names", "file_ending")),
        *(("dataset", "file_ending", ending) for ending in ("", "nii", "/../../x", ".nii\n", ["."])),
        ("dataset", "labels", {"lesion": 1}),
        ("dataset", "channel_names", {"ADC": "0"}),
    ],
)
def test_plans_and_data_sets_that_lack_what_prediction_reads_are_refused(
    exported, tmp_path, refused, place, key, value
):
    def edit(content: dict) -> None:
        part = content["configurations"]["2d"] if place == "configuration" else content
        part.pop(key) if value is MISSING else part.update({key: value})

    file = f"{MSCS}/{'dataset' if place == 'dataset' else 'plans'}.json"
    refused(with_json(exported, tmp_path / "evil.zip", file, edit), rf"json has no {key}(_kwargs)?,")


@pytest.fixture
def foreign_package(tmp_path, monkeypatch) -> str:
    """A package with a network, and with a function and a class that are none."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "foreign_networks.py").write_text(
        "from subprocess import Popen\nfrom dynamic_network_architectures.architectures.unet import PlainConvUNet\n"
        "class Foreign(PlainConvUNet):\n    pass\n\ndef run(*words):\n    Popen(*words)\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "modules")
    return "foreign_networks"


def test_a_network_of_another_package_needs_trust_in_that_package(exported, tmp_path, there, refused, foreign_package):
    file = with_plans(exported, tmp_path / "foreign.zip", naming("foreign_networks.Foreign"))
    refused(file, "--trust foreign_networks")
    refused(file, "--trust foreign_networks", trust=["subprocess", "foreign"])
    assert install(file, results=there, trust=[foreign_package]).folders == (there / OF_MODEL,)


@pytest.mark.parametrize("name", ["subprocess.Popen", "foreign_networks.Popen", "foreign_networks.run"])
@pytest.mark.parametrize("place", ["network_class_name", "nonlin"])
def test_trust_in_a_package_is_in_its_networks_alone(exported, tmp_path, refused, foreign_package, name, place):
    file = with_plans(exported, tmp_path / "evil.zip", naming(name, place))
    refused(file, "not a network class", trust=[foreign_package, "subprocess"])


def test_whoever_exports_a_network_of_another_package_is_told(model, tmp_path, foreign_package):
    changed = plans()
    naming("foreign_networks.Foreign")(changed)
    (model / "plans.json").write_text(json.dumps(changed))
    done = export(tmp_path / "foreign.zip", ExportRequest(str(model)))
    assert any("--trust foreign_networks" in notice for notice in done.notices)


@pytest.mark.parametrize("words", [["--trust"], ["--trust", "a b"], ["--trust", "../x"]])
def test_trust_needs_the_names_of_packages(exported, words):
    with pytest.raises(SystemExit) as end:
        main(["install", str(exported), *words])
    assert end.value.code == 2
