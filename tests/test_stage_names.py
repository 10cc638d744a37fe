"""A stage has one name everywhere, and ``dvc.yaml`` names exactly what each stage uses."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import grimp
import pytest
import yaml

from flows.stage_graph import StageNode, read_stage_graph

REPOSITORY = Path(__file__).resolve().parents[1]
GRAPH = read_stage_graph(REPOSITORY)
PARAMS = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
STAGE_NAMES = [node.name for node in GRAPH]
PIPELINE = (
    "ingest extract_audio denoise speech_features landmarks track_head segment flow_masks inpaint "
    "train_coarse train_fine train_torso render evaluate report"
)
NOT_STAGES = {
    "__init__",
    "back_ends",
    "driving_speech",
    "full_frames",
    "pair_extras",
    "provenance",
    "speaker_data",
    "stage",
    "sync_error",
    "torchrun",
}
TASKS_BESIDE_THE_GRAPH = {
    "compare_runs",
    "denoise_file",
    "doctor",
    "dub",
    "dub_requests",
    "evaluate_dub",
    "evaluate_pair",
    "evaluate_speaker",
    "evaluate_speech",
    "evaluation_files",
    "export_dataset",
    "attach_action_units",
    "import_dataset",
    "make_demo",
    "paper_tables",
    "report_dub",
    "report_index",
    "train_denoiser",
    "train_phonetic_encoder",
    "verify",
}

# They carry values and messages, and compute nothing that reaches an artifact: a clearer error message must not
# invalidate hours of training.
PLUMBING = {"tasks", "tasks.stage", "talkhead_core"} | {
    f"talkhead_core.{name}" for name in ("errors", "progress", "registry", "parameters", "consent", "speakers")
}
REGISTRY_ENTRY = re.compile(r"(talkhead_core(?:\.\w+)+):\w+")


def test_the_pipeline_is_complete() -> None:
    assert " ".join(STAGE_NAMES) == PIPELINE


@pytest.mark.parametrize("node", GRAPH, ids=lambda node: node.name)
def test_one_name_everywhere(node: StageNode) -> None:
    definition = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"][node.name]["do"]
    assert definition["cmd"] == f"exec python -m tasks.{node.name} --speaker ${{key}}"
    assert f"tasks/{node.name}.py" in node.inputs
    assert (REPOSITORY / "tasks" / f"{node.name}.py").is_file(), f"tasks/{node.name}.py is missing"
    assert all(path.startswith(f"data/${{key}}/{node.name}/") for path in node.outputs)
    assert node.name in PARAMS, f"params.yaml has no section {node.name}"
    for kind in ("profiles", "configs"):
        for choice, sections in PARAMS[kind].items():
            assert node.name in sections, f"params.yaml: {kind}.{choice} lacks {node.name}; start it with '<<: *no_override'"
    assert node.kind in ("cpu", "gpu") and node.description


def test_no_task_without_a_place() -> None:
    modules = {path.stem for path in (REPOSITORY / "tasks").glob("*.py")}
    assert modules == set(STAGE_NAMES) | NOT_STAGES | TASKS_BESIDE_THE_GRAPH


def test_params_hold_no_section_that_nobody_reads() -> None:
    extra = {"no_override", "profiles", "configs", "dub", "demo", "provenance"}
    assert set(PARAMS) == set(STAGE_NAMES) | extra
    for kind in ("profiles", "configs"):
        for choice, sections in PARAMS[kind].items():
            assert set(sections) <= set(STAGE_NAMES) | {"dub", "demo", "provenance"}, f"{kind}.{choice}"


@pytest.mark.parametrize("node", GRAPH, ids=lambda node: node.name)
def test_sections_read_are_sections_declared(node: StageNode) -> None:
    declared = {key for key in node.params if not key.startswith(("profiles.", "configs."))}
    used = {node.name}
    for call in _calls(_tree(node.name), "section"):
        named = [*call.args[1:], *(keyword.value for keyword in call.keywords if keyword.arg == "name")]
        used |= {argument.value for argument in named if isinstance(argument, ast.Constant)}
    if _calls(_tree(node.name), "resolve_section"):
        used |= {leaf.value for leaf in ast.walk(_tree(node.name)) if isinstance(leaf, ast.Constant) and leaf.value in STAGE_NAMES}
    assert used == declared
    for section in declared:
        for kind in ("profile", "config"):
            assert f"{kind}s.${{item.{kind}}}.{section}" in node.params


@pytest.mark.parametrize("node", GRAPH, ids=lambda node: node.name)
def test_code_used_is_code_declared(node: StageNode) -> None:
    declared = [path for path in node.inputs if path.startswith(("talkhead_core", "tasks"))]
    used = {_file_of(module) for module in _modules_behind(f"tasks.{node.name}") - PLUMBING}
    missing = sorted(file for file in used if not any(_covers(path, file) for path in declared))
    assert not missing, f"dvc.yaml, stage {node.name}: deps lack {missing}"
    idle = [path for path in declared if not any(_covers(path, file) for file in used)]
    assert not idle, f"dvc.yaml, stage {node.name}: deps name {idle}, which it does not use"


@pytest.mark.parametrize("node", GRAPH, ids=lambda node: node.name)
def test_artifacts_declared_are_artifacts_read(node: StageNode) -> None:
    """The other way round, nothing read is left undeclared: test_end_to_end runs every stage on its declared inputs alone."""
    sources = [_path_of(module).read_text() for module in _modules_behind(f"tasks.{node.name}") - PLUMBING]
    strings = {leaf.value for source in sources for leaf in ast.walk(ast.parse(source)) if isinstance(leaf, ast.Constant)}
    for path in node.inputs:
        if path.startswith("data/") and "/raw/" not in path:
            _, _, stage, file = path.split("/")
            assert stage in strings and file in strings, f"nothing behind tasks/{node.name}.py reads {path}"
    reads_video = any(isinstance(leaf, ast.Attribute) and leaf.attr == "source_video" for leaf in ast.walk(_tree(node.name)))
    assert reads_video == ("${item.video}" in node.inputs)


@pytest.mark.parametrize("node", GRAPH, ids=lambda node: node.name)
def test_inputs_are_outputs_of_earlier_stages(node: StageNode) -> None:
    written = {path for earlier in GRAPH[: GRAPH.index(node)] for path in earlier.outputs}
    for path in node.inputs:
        if path.startswith("data/") and "/raw/" not in path:
            assert path in written, f"{node.name} reads {path}, which no earlier stage writes"


def test_registries_name_modules_that_exist() -> None:
    for path in sorted((REPOSITORY / "talkhead_core").rglob("*.py")):
        for target in REGISTRY_ENTRY.findall(path.read_text()):
            assert _path_of(target).is_file(), f"{path.name} registers {target}, which does not exist"


def _covers(declared: str, file: str) -> bool:
    return file == declared or file.startswith(f"{declared}/")


@cache
def _tree(stage: str) -> ast.Module:
    return ast.parse((REPOSITORY / "tasks" / f"{stage}.py").read_text())


def _calls(tree: ast.Module, method: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", None)) == method
    ]


@cache
def _imports() -> grimp.ImportGraph:
    """Every import, and every back end that a registry names in a string."""
    graph = grimp.build_graph("tasks", "talkhead_core", cache_dir=None)
    for module in sorted(graph.modules):
        if not _path_of(module).is_file():
            continue
        for target in REGISTRY_ENTRY.findall(_path_of(module).read_text()):
            if target in graph.modules:
                graph.add_import(importer=module, imported=target)
    return graph


def _modules_behind(module: str) -> set[str]:
    """The module, all that it imports at any depth, and the packages that those lie in, which Python imports too."""
    graph, found, waiting = _imports(), set(), [module]
    while waiting:
        name = waiting.pop()
        if name in found or name not in graph.modules:
            continue
        found.add(name)
        if name in PLUMBING:
            continue
        waiting += graph.find_modules_directly_imported_by(name)
        waiting += [name.rpartition(".")[0]] if "." in name else []
    return found


def _path_of(module: str) -> Path:
    base = REPOSITORY / module.replace(".", "/")
    return base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"


def _file_of(module: str) -> str:
    return str(_path_of(module).relative_to(REPOSITORY))
