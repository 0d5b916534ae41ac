"""All stages of a run, from conversion to report, in an order in which they can be carried out."""

from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.pipeline import data_stages, result_stages, training_stages
from nnunetv2_mscs.pipeline.models import own_models, rival_models
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.source import look_at_source
from nnunetv2_mscs.pipeline.stage import Stage
from nnunetv2_mscs.pipeline.state import RunFolder


def build_stages(settings: RunSettings, folders: Folders) -> dict[str, Stage]:
    """All stages of a run by name; every stage comes after those it needs.

    Raises:
        MscsError: the source has no known layout, or nnU-Net finds no such planner.
    """
    source = look_at_source(settings, folders)
    run = RunFolder.of(folders, settings.dataset)
    ours, rivals = own_models(settings), rival_models(settings)
    stages = [
        *data_stages.data_stages(settings, folders, source, [*ours, *rivals]),
        *training_stages.training_stages(settings, folders, ours, rivals),
        *result_stages.result_stages(settings, folders, source, run, ours, rivals),
    ]
    return {stage.name: stage for stage in stages}
